import { Inject, Injectable } from '@nestjs/common';
import type pg from 'pg';
import type { DeliveryLog } from '../../workflows/contracts.js';
import type { Action } from '../audit/actions.js';
import { AuditService } from '../audit/audit.service.js';
import { type Changes, changesBetween } from '../audit/changes.js';
import type { Caller } from '../auth/caller.js';
import { cancelItem, lockWithBatch } from '../batches/batch-items.js';
import { BatchSealer } from '../batches/batch-sealer.js';
import { decodeCursor, type Page, toPage } from '../common/cursor.js';
import { fromId, type Kind, toId, uuidV7Floor } from '../common/ids.js';
import { priorityLevel } from '../common/priority.js';
import { notFound, Problem } from '../common/problems.js';
import { Conditions } from '../database/conditions.js';
import { Database } from '../database/database.js';
import { workflowIdOf } from '../dispatch/delivery-starter.js';
import { recordedOf, Reconciler } from '../dispatch/reconciler.js';
import { probeWith } from '../endpoint-health/health-record.js';
import { WEB_UI, type WebUi } from '../temporal/web-ui.js';
import type { AttemptShown, DeliveriesQuery, DeliveryShown, DeliverySummary } from './deliveries.schema.js';
import { type DeliveryRow, isOpen, selectDeliveries, statusOf, summarise } from './delivery-rows.js';
import { LiveLog } from './live-log.js';
import type { AttemptRow, DeliveryStatus, HeldReason } from './loader.js';

/** The delivery log of an account, and what people do with it. */
@Injectable()
export class DeliveriesService {
  constructor(
    private readonly database: Database,
    private readonly liveLog: LiveLog,
    private readonly reconciler: Reconciler,
    @Inject(WEB_UI) private readonly webUi: WebUi,
    private readonly audit: AuditService,
    private readonly sealer: BatchSealer,
  ) {}

  async list(_caller: Caller, accountId: string, query: DeliveriesQuery): Promise<Page<DeliverySummary>> {
    const conditions = new Conditions('account_id = ?', accountId);
    if (query.cursor !== undefined) conditions.and('id < ?', decodeCursor('deliveries', query.cursor));
    if (query.eventId !== undefined) conditions.and('event_id = ?', readId('event', query.eventId));
    if (query.endpointId !== undefined)
      conditions.and('endpoint_id = ?', readId('endpoint', query.endpointId));
    if (query.batchId !== undefined) conditions.and('batch_id = ?', readId('delivery', query.batchId));
    if (query.eventType !== undefined) conditions.and('event_type = ?', query.eventType);
    if (query.priority !== undefined) conditions.and('priority = ?', priorityLevel(query.priority));
    // Keys are UUIDv7: a bound in time is a bound on the key, and leaves whole partitions out.
    if (query.since !== undefined) conditions.and('id >= ?', uuidV7Floor(Date.parse(query.since)));
    if (query.until !== undefined) conditions.and('id < ?', uuidV7Floor(Date.parse(query.until)));
    const rows = await this.database.list<DeliveryRow>(
      accountId,
      selectDeliveries(conditions.text, query.status ?? null, query.limit + 1),
      conditions.values,
    );
    return toPage('deliveries', rows, query.limit, summarise);
  }

  /** The state of the workflow while it is open, and the record before and after. */
  async get(_caller: Caller, accountId: string, id: string): Promise<DeliveryShown> {
    const row = await this.find(accountId, id);
    const workflowId = workflowIdOf(carrierOf(row));
    const isAsked = isOpen(statusOf(row)) && row.status !== 'batched';
    const { runId, log } = await this.liveLog.read(workflowId, isAsked);
    // The workflow may have ended while it was being asked; the record is read last, so that it is not behind.
    const now = log === null && isOpen(statusOf(row)) ? await this.find(accountId, id) : row;
    const live = isOpen(statusOf(now)) ? log : null;
    const attempts = await this.attempts(id);
    return {
      ...summarise(now),
      ...(live ? overlay(now, live) : {}),
      version: row.version,
      attempts: live ? withUnrecorded(attempts, live) : attempts,
      live: live !== null,
      workflow: { workflowId, runId, webUrl: this.webUi.linkTo(workflowId, runId) },
    };
  }

  /**
   * Sends it at once: cuts a backoff short, or sends a finished delivery again under the same `webhook-id`. One that is in a
   * batch takes the whole batch with it.
   *
   * @throws Problem `attempt_in_progress`, `delivery_held`, `endpoint_deleted`, `endpoint_disabled`
   */
  async retry(caller: Caller, accountId: string, id: string): Promise<DeliveryShown> {
    const row = await this.find(accountId, id);
    const endpoint = await this.endpointState(row.endpoint_id);
    if (endpoint.deleted) throw new Problem('endpoint_deleted', 'The endpoint of this delivery was deleted.');
    if (endpoint.disabled)
      throw new Problem('endpoint_disabled', 'The endpoint of this delivery is disabled.');
    if (endpoint.held_reason === 'endpoint_paused')
      throw new Problem('delivery_held', 'The endpoint of this delivery is paused.');
    if (endpoint.held_reason === 'endpoint_unverified')
      throw new Problem('delivery_held', 'The endpoint of this delivery has still to be verified.');
    const carrier = row.status === 'batched' ? await this.carrier(caller, row) : row;
    if (carrier) await this.retryRow(caller, carrier);
    this.reconciler.nudge();
    return this.get(caller, accountId, id);
  }

  private async retryRow(caller: Caller, row: DeliveryRow): Promise<void> {
    if (row.status === 'held' && (await this.letThrough(caller, row))) return;
    if (isOpen(statusOf(row))) await this.cutShort(caller, row);
    else await this.sendAgain(caller, row);
  }

  /** @returns the batch that is to be retried; null where one has just been made of what is collected, and goes at once */
  private async carrier(caller: Caller, row: DeliveryRow): Promise<DeliveryRow | null> {
    if (row.batch_id !== null) return this.find(row.account_id, row.batch_id);
    await this.database.transaction((client) =>
      this.record(client, caller, row.account_id, 'delivery.retry', row.id, {
        nextAttemptAt: { from: row.closes_at?.toISOString() ?? null, to: new Date().toISOString() },
      }),
    );
    await this.sealer.seal(row.endpoint_id, true);
    const { batch_id: batchId } = await this.find(row.account_id, row.id);
    const batch = batchId === null ? null : await this.find(row.account_id, batchId);
    return batch?.status === 'held' ? batch : null;
  }

  /** No attempt starts after this returns; one that is under way may still arrive. @throws Problem `delivery_ended` */
  async cancel(caller: Caller, accountId: string, id: string): Promise<DeliveryShown> {
    await this.database.transaction(async (client) => {
      const locked = await lockWithBatch<DeliveryRow['status']>(client, accountId, id);
      if (!locked) throw notFound('delivery');
      const { status } = locked;
      if (status === 'batched') {
        const emptied = await cancelItem(client, id, locked.batch_id);
        if (emptied !== null) await cancelRow(client, emptied);
      } else if (isOpen(status)) await cancelRow(client, id);
      else if (status !== 'cancelled')
        throw new Problem('delivery_ended', `The delivery is ${status} already.`);
      const from = status === 'batched' ? 'pending' : status;
      await this.record(client, caller, accountId, 'delivery.cancel', id, statusChange(from, 'cancelled'));
    });
    this.reconciler.nudge();
    return this.get(caller, accountId, id);
  }

  /** @returns false when no open circuit holds it any more */
  private letThrough(caller: Caller, row: DeliveryRow): Promise<boolean> {
    return this.database.transaction(async (client) => {
      if (!(await probeWith(client, row.id))) return false;
      const changes = statusChange('held', row.attempt_count > 0 ? 'retrying' : 'pending');
      await this.record(client, caller, row.account_id, 'delivery.retry', row.id, changes);
      return true;
    });
  }

  private async cutShort(caller: Caller, row: DeliveryRow): Promise<void> {
    const told = await this.tellToRetry(row);
    await this.database.transaction(async (client) => {
      if (!told) await client.query({ name: 'retry_open', text: RETRY_OPEN, values: [row.id] });
      const from = row.next_attempt_at?.toISOString() ?? null;
      await this.record(client, caller, row.account_id, 'delivery.retry', row.id, {
        nextAttemptAt: { from, to: new Date().toISOString() },
      });
    });
  }

  /** @returns whether its workflow was there to be told */
  private async tellToRetry(row: DeliveryRow): Promise<boolean> {
    const refusal = await this.reconciler.retryNow(refOf(row), recordedOf(row));
    if (refusal === 'attempt_in_progress') {
      throw new Problem('attempt_in_progress', 'An attempt of this delivery is under way.');
    }
    // A process that was slow to tell it of a pause may have done so after the pause's end: the record says what counts.
    if (refusal === 'delivery_held' && (await this.find(row.account_id, row.id)).status === 'held')
      throw new Problem('delivery_held', 'The delivery is held.');
    return refusal === 'told';
  }

  private async sendAgain(caller: Caller, row: DeliveryRow): Promise<void> {
    await this.database.transaction(async (client) => {
      const sent = await client.query({
        name: 'send_again',
        text: `UPDATE deliveries SET status = 'pending', status_reason = NULL, budget_start = attempt_count,
           next_trigger = 'manual', next_attempt_at = now(), completed_at = NULL, tell = 'retry', tell_next = NULL, due_at = now(),
           express = false, lease = NULL, batch_id = NULL
          WHERE id = $1 AND status IN ('delivered', 'failed', 'cancelled', 'skipped')`,
        values: [row.id],
      });
      // None when somebody else has sent it again meanwhile.
      const changes = sent.rowCount === 0 ? {} : statusChange(statusOf(row), 'pending');
      await this.record(client, caller, row.account_id, 'delivery.retry', row.id, changes);
    });
  }

  private async record(
    client: pg.PoolClient,
    caller: Caller,
    accountId: string,
    action: Action,
    id: string,
    changes: Changes,
  ): Promise<void> {
    await this.audit.record(client, caller, { accountId, action, resourceId: toId('delivery', id), changes });
  }

  private async find(accountId: string, id: string): Promise<DeliveryRow & { version: string | null }> {
    const [row] = await this.database.prepared<DeliveryRow & { version: string | null }>(
      'get_delivery',
      `SELECT f.*, v.version FROM (${selectDeliveries('id = $1 AND account_id = $2', null, 1)}) f
        LEFT JOIN events v ON v.id = f.event_id`,
      [id, accountId],
    );
    if (!row) throw notFound('delivery');
    return row;
  }

  private async endpointState(endpointId: string) {
    const [row] = await this.database.prepared<{
      held_reason: HeldReason | null;
      disabled: boolean;
      deleted: boolean;
    }>(
      'endpoint_state',
      `SELECT held_reason, disabled_reason IS NOT NULL AS disabled, deleted_at IS NOT NULL AS deleted
         FROM endpoints WHERE id = $1`,
      [endpointId],
    );
    return row ?? { held_reason: null, disabled: false, deleted: true };
  }

  private async attempts(id: string): Promise<AttemptShown[]> {
    const rows = await this.database.prepared<AttemptDetailRow>(
      'delivery_attempts',
      `SELECT delivery_id, number, trigger, started_at, duration_ms, outcome, status_code, error_code, error_detail,
         request, response FROM attempts WHERE delivery_id = $1 ORDER BY number`,
      [id],
    );
    return rows.map((row) => ({
      number: row.number,
      trigger: row.trigger,
      startedAt: row.started_at.toISOString(),
      durationMs: row.duration_ms,
      outcome: row.outcome,
      ...(row.status_code === null ? {} : { statusCode: row.status_code }),
      ...(row.error_code === null ? {} : { errorCode: row.error_code }),
      ...(row.error_detail === null ? {} : { errorDetail: row.error_detail }),
      request: row.request,
      response: row.response,
    }));
  }
}

interface AttemptDetailRow extends AttemptRow {
  error_detail: string | null;
  request: AttemptShown['request'];
  response: AttemptShown['response'];
}

const refOf = ({ id, event_id, endpoint_id }: DeliveryRow) => ({
  deliveryId: id,
  eventId: event_id,
  endpointId: endpoint_id,
});

/** Whose workflow sends it. */
const carrierOf = (row: DeliveryRow) =>
  row.batch_id === null
    ? refOf(row)
    : { deliveryId: row.batch_id, eventId: row.batch_id, endpointId: row.endpoint_id };

async function cancelRow(client: pg.PoolClient, id: string): Promise<void> {
  await client.query({
    name: 'cancel_delivery',
    text: `UPDATE deliveries SET status = 'cancelled', status_reason = 'cancelled_by_request',
       next_attempt_at = NULL, completed_at = now(), tell = 'cancel', due_at = now(), lease = NULL WHERE id = $1`,
    values: [id],
  });
}

/**
 * No workflow, one that is ending, or no Temporal: the record carries the wish until it is fulfilled. A first attempt that needs no
 * workflow is made as it is by whoever has it in hand, who lets it wait behind nothing; one that was put by is in nobody's.
 */
const RETRY_OPEN = `
  WITH open AS (
    SELECT id, express AND due_at IS NOT NULL AS in_hand FROM deliveries
    WHERE id = $1 AND status IN ('pending', 'retrying') FOR UPDATE
  )
  UPDATE deliveries d SET next_attempt_at = now(), due_at = now(), express = in_hand,
      next_trigger = CASE WHEN in_hand THEN next_trigger ELSE 'manual' END,
      tell = CASE WHEN in_hand THEN tell ELSE 'retry' END,
      lease = CASE WHEN in_hand THEN lease END
    FROM open WHERE d.id = open.id`;

const statusChange = (from: DeliveryStatus, to: DeliveryStatus): Changes =>
  changesBetween({ status: from }, { status: to });

/** A filter's id of another kind is not found, like a path's. */
function readId(kind: Kind, id: string): string {
  const uuid = fromId(kind, id);
  if (uuid === null) throw notFound(kind);
  return uuid;
}

/** What the workflow knows better than a record that is written a moment later. */
function overlay(row: DeliveryRow, log: DeliveryLog): Partial<DeliverySummary> {
  const attemptCount = Math.max(row.attempt_count, log.attempts.at(-1)?.number ?? 0);
  return {
    attemptCount,
    nextAttemptAt: log.nextAttemptAtMs === null ? null : new Date(log.nextAttemptAtMs).toISOString(),
    ...(row.status === 'pending' && log.state === 'waiting' && attemptCount > 0
      ? { status: 'retrying' as const }
      : {}),
  };
}

function withUnrecorded(recorded: AttemptShown[], log: DeliveryLog): AttemptShown[] {
  const numbers = new Set(recorded.map(({ number }) => number));
  const added = log.attempts
    .filter(({ number }) => !numbers.has(number))
    .map(({ startedAtMs, ...attempt }) => ({
      ...attempt,
      startedAt: new Date(startedAtMs).toISOString(),
      request: null,
      response: null,
    }));
  return [...recorded, ...added].sort((a, b) => a.number - b.number);
}
