import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import {
  ENDPOINT_CREDENTIALS_WORKFLOW,
  ENDPOINT_HEALTH_WORKFLOW,
  ENDPOINT_VERIFICATION_WORKFLOW,
  endpointCredentialsWorkflowId,
  endpointHealthWorkflowId,
  endpointVerificationWorkflowId,
  lookSignal,
} from '../../workflows/contracts.js';
import { toId } from '../common/ids.js';
import { Database, isUnavailable } from '../database/database.js';
import { accountOfEndpoint } from '../endpoints/account-of-endpoint.js';
import { LOGGER } from '../logging/logger.js';
import { isTemporalUnavailable, Temporal } from './temporal.js';

const START_WITHIN_MS = 5_000;
const MAX_LATE = 100;

const WATCHES = {
  health: { type: ENDPOINT_HEALTH_WORKFLOW, idOf: endpointHealthWorkflowId },
  verification: { type: ENDPOINT_VERIFICATION_WORKFLOW, idOf: endpointVerificationWorkflowId },
  credentials: { type: ENDPOINT_CREDENTIALS_WORKFLOW, idOf: endpointCredentialsWorkflowId },
};

type Watch = keyof typeof WATCHES;

/** Where it is written when an endpoint is to be looked at. */
const REVIEWS = { health: 'endpoint_health', verification: 'endpoint_verifications' };

/** The workflows whose timers say when an endpoint is to be looked at. What they act on is in PostgreSQL. */
@Injectable()
export class EndpointWatches {
  constructor(
    private readonly temporal: Temporal,
    private readonly database: Database,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Has a watch look now, and begins it where none runs. @param endpointId UUID */
  async wake(kind: Watch, endpointId: string): Promise<void> {
    const id = toId('endpoint', endpointId);
    const { type, idOf } = WATCHES[kind];
    try {
      const accountId = await accountOfEndpoint(this.database, endpointId);
      if (accountId === undefined) return;
      await this.temporal.call(START_WITHIN_MS, (client) =>
        client.workflow.signalWithStart(type, {
          workflowId: idOf(id),
          taskQueue: this.temporal.taskQueue,
          // Accounts take turns, however many endpoints of one are to be looked at.
          priority: { fairnessKey: toId('account', accountId) },
          args: [{ endpointId: id }],
          signal: lookSignal,
          signalArgs: [],
        }),
      );
    } catch (error) {
      // The record says when it is due: whoever finds it late wakes it.
      if (!isTemporalUnavailable(error) && !isUnavailable(error))
        this.logger.error(
          { err: error, endpointId: id },
          `the ${kind} of an endpoint waits for its workflow`,
        );
    }
  }

  /** Wakes watches that should have looked by now: they were lost, or never begun. */
  async wakeLate(kind: keyof typeof REVIEWS, lateSeconds: number): Promise<void> {
    const table = REVIEWS[kind];
    const late = await this.database.prepared<{ endpoint_id: string }>(
      `late_${table}`,
      `UPDATE ${table} SET review_at = now() WHERE endpoint_id IN (
         SELECT endpoint_id FROM ${table} WHERE review_at < now() - $1 * interval '1 second'
         ORDER BY review_at LIMIT ${MAX_LATE} FOR UPDATE SKIP LOCKED)
       RETURNING endpoint_id`,
      [lateSeconds],
    );
    for (const { endpoint_id: endpointId } of late) await this.wake(kind, endpointId);
  }
}
