import { Inject, Injectable } from '@nestjs/common';
import type { DeliveryLog } from '../../workflows/contracts.js';
import type { Caller } from '../auth/caller.js';
import { decodeCursor, type Page, toPage } from '../common/cursor.js';
import { fromId, type Kind, toId, uuidV7Floor } from '../common/ids.js';
import { priorityLevel, priorityOf } from '../common/priority.js';
import { notFound, Problem } from '../common/problems.js';
import { Conditions } from '../database/conditions.js';
import { Database } from '../database/database.js';
import { workflowIdOf } from '../dispatch/delivery-starter.js';
import { Reconciler } from '../dispatch/reconciler.js';
import { isTemporalUnavailable } from '../temporal/temporal.js';
import { WEB_UI, type WebUi } from '../temporal/web-ui.js';
import type { AttemptShown, DeliveriesQuery, DeliveryShown, DeliverySummary } from './deliveries.schema.js';
import { LiveLog } from './live-log.js';
import type { AttemptRow, DeliveryStatus } from './loader.js';

/** The delivery log of an account, and what people do with it. */
@Injectable()
export class DeliveriesService {
  constructor(
    private readonly database: Database,
    private readonly liveLog: LiveLog,
    private readonly reconciler: Reconciler,
    @Inject(WEB_UI) private readonly webUi: WebUi,
  ) {}

  async list(_caller: Caller, accountId: string, query: DeliveriesQuery): Promise<Page<DeliverySummary>> {
    const conditions = new Conditions('account_id = ?', accountId);
    if (query.cursor !== undefined) conditions.and('id < ?', decodeCursor('deliveries', query.cursor));
    if (query.eventId !== undefined) conditions.and('event_id = ?', readId('event', query.eventId));
    if (query.endpointId !== undefined)
      conditions.and('endpoint_id = ?', readId('endpoint', query.endpointId));
    if (query.eventType !== undefined) conditions.and('event_type = ?', query.eventType);
    // One of a fixed set, and written out: only so can the partial index of undelivered ones be used.
    if (query.status !== undefined) conditions.and(`status = '${query.status}'`);
    if (query.priority !== undefined) conditions.and('priority = ?', priorityLevel(query.priority));
    // Keys are UUIDv7: a bound in time is a bound on the key, and leaves whole partitions out.
    if (query.since !== undefined) conditions.and('id >= ?', uuidV7Floor(Date.parse(query.since)));
    if (query.until !== undefined) conditions.and('id < ?', uuidV7Floor(Date.parse(query.until)));
    const rows = await this.database.query<DeliveryRow>(
      `SELECT ${COLUMNS} FROM deliveries WHERE ${conditions.text} ORDER BY id DESC LIMIT ${query.limit + 1}`,
      conditions.values,
    );
    return toPage('deliveries', rows, query.limit, summarise);
  }

  /** The state of the workflow while it is open, and the record before and after. */
  async get(_caller: Caller, accountId: string, id: string): Promise<DeliveryShown> {
    const row = await this.find(accountId, id);
    const workflowId = workflowIdOf({ eventId: row.event_id, endpointId: row.endpoint_id });
    const { runId, log } = await this.liveLog.read(workflowId, isOpen(row.status));
    // The workflow may have ended while it was being asked; the record is read last, so that it is not behind.
    const now = log === null && isOpen(row.status) ? await this.find(accountId, id) : row;
    const live = isOpen(now.status) ? log : null;
    const attempts = await this.attempts(id);
    return {
      ...summarise(now),
      ...(live ? overlay(now, live) : {}),
      attempts: live ? withUnrecorded(attempts, live) : attempts,
      live: live !== null,
      workflow: { workflowId, runId, webUrl: this.webUi.linkTo(workflowId, runId) },
    };
  }

  /**
   * Sends it at once: cuts a backoff short, or sends a finished delivery again under the same `webhook-id`.
   *
   * @throws Problem `attempt_in_progress`, `delivery_held`, `endpoint_deleted`, `endpoint_disabled`
   */
  async retry(caller: Caller, accountId: string, id: string): Promise<DeliveryShown> {
    const row = await this.find(accountId, id);
    const endpoint = await this.endpointState(row.endpoint_id);
    if (endpoint.deleted) throw new Problem('endpoint_deleted', 'The endpoint of this delivery was deleted.');
    if (endpoint.disabled)
      throw new Problem('endpoint_disabled', 'The endpoint of this delivery is disabled.');
    if (endpoint.paused) throw new Problem('delivery_held', 'The endpoint of this delivery is paused.');
    if (isOpen(row.status)) await this.cutShort(row);
    else await this.sendAgain(row);
    this.reconciler.nudge();
    return this.get(caller, accountId, id);
  }

  /** No attempt starts after this returns; one that is under way may still arrive. @throws Problem `delivery_ended` */
  async cancel(caller: Caller, accountId: string, id: string): Promise<DeliveryShown> {
    const cancelled = await this.database.prepared(
      'cancel_delivery',
      `UPDATE deliveries SET status = 'cancelled', status_reason = 'cancelled_by_request', next_attempt_at = NULL,
         completed_at = now(), tell = 'cancel', due_at = now(), lease = NULL
        WHERE id = $1 AND account_id = $2 AND status IN ('pending', 'retrying', 'held') RETURNING id`,
      [id, accountId],
    );
    if (cancelled.length === 0) {
      const { status } = await this.find(accountId, id);
      if (status !== 'cancelled') throw new Problem('delivery_ended', `The delivery is ${status} already.`);
    }
    this.reconciler.nudge();
    return this.get(caller, accountId, id);
  }

  private async cutShort(row: DeliveryRow): Promise<void> {
    try {
      const refusal = await this.reconciler.retryNow({ eventId: row.event_id, endpointId: row.endpoint_id });
      if (refusal === 'told') return;
      if (refusal === 'attempt_in_progress') {
        throw new Problem('attempt_in_progress', 'An attempt of this delivery is under way.');
      }
      if (refusal === 'delivery_held') throw new Problem('delivery_held', 'The delivery is held.');
    } catch (error) {
      if (!isTemporalUnavailable(error)) throw error;
    }
    // No workflow, one that is ending, or no Temporal: the record carries the wish until it is fulfilled. A first
    // attempt that needs no workflow is about to be made as it is.
    await this.database.prepared(
      'retry_open',
      `UPDATE deliveries SET next_trigger = 'manual', next_attempt_at = now(), tell = 'retry', due_at = now()
        WHERE id = $1 AND status IN ('pending', 'retrying') AND NOT express`,
      [row.id],
    );
  }

  private async sendAgain(row: DeliveryRow): Promise<void> {
    await this.database.prepared(
      'send_again',
      `UPDATE deliveries SET status = 'pending', status_reason = NULL, budget_start = attempt_count,
         next_trigger = 'manual', next_attempt_at = now(), completed_at = NULL, tell = 'retry', due_at = now(),
         express = false, lease = NULL
        WHERE id = $1 AND status IN ('delivered', 'failed', 'cancelled', 'skipped')`,
      [row.id],
    );
  }

  private async find(accountId: string, id: string): Promise<DeliveryRow> {
    const [row] = await this.database.prepared<DeliveryRow>(
      'get_delivery',
      `SELECT ${COLUMNS} FROM deliveries WHERE id = $1 AND account_id = $2`,
      [id, accountId],
    );
    if (!row) throw notFound('delivery');
    return row;
  }

  private async endpointState(endpointId: string) {
    const [row] = await this.database.prepared<{ paused: boolean; disabled: boolean; deleted: boolean }>(
      'endpoint_state',
      `SELECT paused, disabled_reason IS NOT NULL AS disabled, deleted_at IS NOT NULL AS deleted
         FROM endpoints WHERE id = $1`,
      [endpointId],
    );
    return row ?? { paused: false, disabled: false, deleted: true };
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

const COLUMNS = `id, account_id, event_id, event_type, endpoint_id, priority, status, status_reason, attempt_count,
  next_attempt_at, created_at, completed_at`;

interface DeliveryRow {
  id: string;
  account_id: string;
  event_id: string;
  event_type: string;
  endpoint_id: string;
  priority: number;
  status: DeliveryStatus;
  status_reason: string | null;
  attempt_count: number;
  next_attempt_at: Date | null;
  created_at: Date;
  completed_at: Date | null;
}

interface AttemptDetailRow extends AttemptRow {
  error_detail: string | null;
  request: AttemptShown['request'];
  response: AttemptShown['response'];
}

const isOpen = (status: DeliveryStatus): boolean =>
  status === 'pending' || status === 'retrying' || status === 'held';

/** A filter's id of another kind is not found, like a path's. */
function readId(kind: Kind, id: string): string {
  const uuid = fromId(kind, id);
  if (uuid === null) throw notFound(kind);
  return uuid;
}

function summarise(row: DeliveryRow): DeliverySummary {
  return {
    id: toId('delivery', row.id),
    accountId: toId('account', row.account_id),
    eventId: toId('event', row.event_id),
    eventType: row.event_type,
    endpointId: toId('endpoint', row.endpoint_id),
    priority: priorityOf(row.priority),
    status: row.status,
    statusReason: row.status_reason,
    attemptCount: row.attempt_count,
    nextAttemptAt: isOpen(row.status) ? (row.next_attempt_at?.toISOString() ?? null) : null,
    createdAt: row.created_at.toISOString(),
    completedAt: row.completed_at?.toISOString() ?? null,
  };
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
