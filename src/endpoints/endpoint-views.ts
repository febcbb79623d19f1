import { Injectable } from '@nestjs/common';
import type { Changes } from '../audit/changes.js';
import { toId } from '../common/ids.js';
import { priorityOf } from '../common/priority.js';
import { DEFAULT_BURST } from '../pacing/limits.js';
import { STANDARD } from '../signing/schemes.js';
import { maskHeaders } from './custom-headers.js';
import { endpointChanges } from './endpoint-changes.js';
import { EndpointCredentialsService } from './endpoint-credentials.service.js';
import type { EndpointEntity } from './endpoint.entity.js';
import { EndpointSeals } from './endpoint-seals.js';
import type { EndpointShown } from './endpoints.schema.js';

/** How people see an endpoint: nothing that is secret. */
@Injectable()
export class EndpointViews {
  constructor(
    private readonly seals: EndpointSeals,
    private readonly credentials: EndpointCredentialsService,
  ) {}

  show(endpoint: EndpointEntity): EndpointShown {
    return {
      id: toId('endpoint', endpoint.id),
      accountId: toId('account', endpoint.accountId),
      url: endpoint.url,
      description: endpoint.description,
      eventTypes: endpoint.eventTypes,
      filter: endpoint.filter,
      lookups: endpoint.lookups ?? [],
      eventVersions: endpoint.eventVersions ?? {},
      headers: maskHeaders(this.seals.openHeaders(endpoint.id, endpoint.sealedHeaders)),
      ...this.credentials.show(endpoint),
      timeoutMs: endpoint.timeoutMs,
      signing: endpoint.signing ?? STANDARD,
      retrySchedule: endpoint.retrySchedule,
      lane: endpoint.lane,
      priority: endpoint.priority === null ? null : priorityOf(endpoint.priority),
      rateLimit:
        endpoint.ratePerSecond === null
          ? null
          : { perSecond: endpoint.ratePerSecond, burst: endpoint.rateBurst ?? DEFAULT_BURST },
      maxInFlight: endpoint.maxInFlight,
      payload: endpoint.payload,
      format: endpoint.format,
      batch: endpoint.batch,
      test: endpoint.test,
      status: statusOf(endpoint),
      statusReason: endpoint.disabledReason ?? (endpoint.unverified ? endpoint.verificationError : null),
      paused: endpoint.paused,
      verification: endpoint.verification,
      createdAt: endpoint.createdAt.toISOString(),
      updatedAt: endpoint.updatedAt.toISOString(),
    };
  }

  /** What the audit log says of a change. @param before null where it was made, `after` where it was deleted */
  changes(before: EndpointEntity | null, after: EndpointEntity | null): Changes {
    return endpointChanges(before && this.stateOf(before), after && this.stateOf(after));
  }

  private stateOf(endpoint: EndpointEntity) {
    return {
      shown: this.show(endpoint),
      auth: this.credentials.authOf(endpoint),
      headers: this.seals.openHeaders(endpoint.id, endpoint.sealedHeaders),
    };
  }
}

function statusOf({ disabledReason, unverified, paused }: EndpointEntity): EndpointShown['status'] {
  if (disabledReason !== null) return 'disabled';
  if (unverified) return 'pending_verification';
  return paused ? 'paused' : 'active';
}
