import { Injectable } from '@nestjs/common';
import type { Caller } from '../auth/caller.js';
import { insufficient } from '../auth/challenge.js';
import { fromId, toId, uuidV7 } from '../common/ids.js';
import { notFound, Problem } from '../common/problems.js';
import { Database } from '../database/database.js';
import { EndpointSender, REACHABLE_COLUMNS, type ReachableEndpoint } from '../endpoints/endpoint-sender.js';
import { rawEventData } from '../events/raw-data.js';
import { AccountFilters, type UnjudgedEvent } from '../filters/account-filters.js';
import { TooCostly } from '../filters/compile.js';
import type { Filter } from '../filters/condition.js';
import { explain } from '../filters/explain.js';
import { takesType } from '../filters/filter-index.js';
import { storedFilter, UnreadableFilter } from '../filters/read-filter.js';
import { pointerTo } from '../json-schema/pointer.js';
import { Composer } from '../messages/composer.js';
import type { FormatName, Payload } from '../messages/message.js';
import { Shaper } from '../messages/shaper.js';
import type { UnsentCode } from '../transport/codes.js';
import type { MismatchShown, PreviewBody, PreviewShown } from './preview.schema.js';

/** What would become of an event at an endpoint. Nothing is published, sent or written. */
@Injectable()
export class PreviewService {
  constructor(
    private readonly database: Database,
    private readonly filters: AccountFilters,
    private readonly shaper: Shaper,
    private readonly composer: Composer,
    private readonly sender: EndpointSender,
  ) {}

  /**
   * @param bodyText the body as it came, from which `data` is taken
   * @throws Problem `not_found`; `forbidden` for a stored event and a caller who may not read events
   */
  async preview(
    caller: Caller,
    accountId: string,
    endpointId: string,
    body: PreviewBody,
    bodyText: string,
  ): Promise<PreviewShown> {
    // What an event holds can be found out by asking filters.
    if (body.eventId !== undefined && !caller.scopes.has('events:read'))
      throw insufficient('Events by their id need a key with the scope events:read.', 'events:read');
    const endpoint = await this.findEndpoint(accountId, endpointId);
    const event = await this.eventOf(accountId, body, bodyText);
    const reason = await this.mismatch(accountId, endpoint, event);
    if (reason) return { matched: false, reason, request: null };
    return this.compose(accountId, endpoint, event);
  }

  private async compose(
    accountId: string,
    endpoint: EndpointRow,
    event: PreviewedEvent,
  ): Promise<PreviewShown> {
    const pinned = endpoint.event_versions;
    const pinned_version = pinned && Object.hasOwn(pinned, event.type) ? (pinned[event.type] ?? null) : null;
    const delivery = { ...event, ...endpoint, id: null, account_id: accountId, pinned_version };
    const id = toId('event', event.event_id);
    const step = await this.shaper.preview(delivery);
    switch (step?.kind) {
      case 'busy':
        throw new Problem('unavailable', 'Too much waits for its turn.', {
          retryAfterSeconds: 5,
        });
      case 'dropped':
        return nothingSent('transform_dropped', '/transformation', 'the transformation drops it');
      case 'failed':
        return nothingSent(step.code, pointerOf(step.code, event.type), step.detail);
      case 'shaped':
      case undefined:
        break;
    }
    const atMs = Date.now();
    const message = await this.composer.compose(delivery, step, atMs);
    return { matched: true, reason: null, request: this.sender.show(endpoint, id, message, atMs) };
  }

  private async mismatch(
    accountId: string,
    { event_types: eventTypes, filter: json }: EndpointRow,
    event: UnjudgedEvent,
  ): Promise<MismatchShown | null> {
    if (!takesType(eventTypes, event.type)) {
      const detail = `the endpoint does not take the type ${event.type}`;
      return { code: 'event_type', pointer: '/eventTypes', detail };
    }
    if (json === null) return null;
    let filter: Filter;
    try {
      filter = storedFilter(json);
      const { type, tags, priority, data } = event;
      const unmet =
        filter.condition && explain(filter.condition, { type, tags, priority, data: JSON.parse(data) });
      if (unmet) return { code: 'filter', pointer: `/filter${unmet.pointer}`, detail: unmet.detail };
    } catch (error) {
      if (!(error instanceof TooCostly || error instanceof UnreadableFilter)) throw error;
      return { code: 'filter_error', pointer: '/filter', detail: error.message };
    }
    if (filter.cel === null) return null;
    const result = await this.filters.evaluateCel(accountId, filter.cel, event);
    switch (result.kind) {
      case 'met':
        return null;
      case 'unmet':
        return {
          code: 'filter',
          pointer: '/filter/cel',
          detail: 'the expression is false, or asks for what is absent',
        };
      case 'error':
        return { code: 'filter_error', pointer: '/filter/cel', detail: result.error };
    }
  }

  private async findEndpoint(accountId: string, id: string): Promise<EndpointRow> {
    const [row] = await this.database.prepared<EndpointRow>(
      'previewed_endpoint',
      `SELECT e.event_types, e.filter, e.payload, e.format, e.batch IS NOT NULL AS in_batches, e.test, e.transformation_id,
         e.event_versions, e.lookups, ${REACHABLE_COLUMNS}, NULL AS secrets
        FROM endpoints e WHERE e.id = $1 AND e.account_id = $2 AND e.deleted_at IS NULL`,
      [id, accountId],
    );
    if (!row) throw notFound('endpoint');
    return row;
  }

  private async eventOf(
    accountId: string,
    { eventId, event }: PreviewBody,
    bodyText: string,
  ): Promise<PreviewedEvent> {
    if (event) {
      const { type, tags = [], priority = null, version = '1', timestamp } = event;
      const now = new Date();
      const occurred_at = timestamp === undefined ? now : new Date(timestamp);
      const data = rawEventData(bodyText) ?? 'null';
      return { event_id: uuidV7(now.getTime()), type, data, tags: [...tags], priority, version, occurred_at };
    }
    const id = fromId('event', eventId ?? '');
    if (id === null) throw notFound('event');
    const [row] = await this.database.prepared<PreviewedEvent>(
      'previewed_event',
      `SELECT id AS event_id, type, data, tags, priority, version, occurred_at FROM events
        WHERE id = $1 AND account_id = $2`,
      [id, accountId],
    );
    if (!row) throw notFound('event');
    return row;
  }
}

interface EndpointRow extends ReachableEndpoint {
  event_types: string[] | null;
  filter: unknown;
  payload: Payload;
  format: FormatName;
  in_batches: boolean;
  test: boolean;
  transformation_id: string | null;
  event_versions: Record<string, string> | null;
  lookups: string[] | null;
}

interface PreviewedEvent extends UnjudgedEvent {
  event_id: string;
  tags: string[];
  version: string;
  occurred_at: Date;
}

/** What in the endpoint failed. */
function pointerOf(code: UnsentCode, type: string): string {
  switch (code) {
    case 'conversion_error':
      return `/eventVersions${pointerTo(type)}`;
    case 'lookup_failed':
      return '/lookups';
    case 'transform_error':
      return '/transformation';
  }
}

const nothingSent = (code: MismatchShown['code'], pointer: string, detail: string): PreviewShown => ({
  matched: true,
  reason: { code, pointer, detail },
  request: null,
});
