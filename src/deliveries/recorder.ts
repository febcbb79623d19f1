import { Injectable } from '@nestjs/common';
import type { AttemptSummary } from '../../workflows/contracts.js';
import type { Decision } from '../../workflows/schedule.js';
import { MicroBatch } from '../common/micro-batch.js';
import { Database, type HotStatement, isUnavailable } from '../database/database.js';
import { changeBacklogsOf } from '../endpoints/backlog-changes.js';
import { RETRY_GRACE } from './loader.js';

/** What only PostgreSQL keeps of an attempt: no history holds it. Credentials are masked already. */
export interface AttemptDetails {
  errorDetail?: string | undefined;
  /** Null when nothing was sent. */
  request: { method: string; url: string; headers: Record<string, string> } | null;
  response?:
    | { headers: Record<string, string>; body: string; bodyEncoding: 'utf8' | 'base64'; truncated: boolean }
    | undefined;
  /** How long the receiver asked for quiet: it holds for the whole endpoint. */
  retryAfterMs?: number | undefined;
}

interface Entry {
  deliveryId: string;
  attempt: AttemptSummary;
  decision: Decision;
  details: AttemptDetails | null;
}

const RETRY_EVERY_MS = 1_000;

/**
 * Writes what attempts came to, many at once. An outcome that cannot be written is kept and written later: the
 * receiver has seen the request, so it is not for the database to decide whether it happened.
 */
@Injectable()
export class Recorder {
  private readonly batches: MicroBatch<Entry, undefined>;
  /** What is being written for the first time. */
  private readonly writing = new Set<string>();
  private readonly kept = new Map<string, Entry>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly database: Database) {
    this.batches = new MicroBatch((entries) => this.write(entries), {
      maxItems: 500,
      concurrency: 1,
      // The receiver has its delivery already. Under load a commit for many costs what one for one does, and those who
      // publish wait for the same disk.
      spacingMs: 60,
    });
  }

  /**
   * Resolves once it is committed, and may be repeated: a second record of an attempt adds what the first lacked.
   *
   * @param deliveryId UUID
   * @throws when it cannot be written; while the database is not available the entry is kept in memory and tried again
   */
  async record(
    deliveryId: string,
    attempt: AttemptSummary,
    decision: Decision,
    details: AttemptDetails | null,
  ): Promise<void> {
    const entry: Entry = { deliveryId, attempt, decision, details };
    const key = keyOf(entry);
    this.writing.add(key);
    try {
      await this.batches.add(entry);
    } catch (error) {
      if (details && isUnavailable(error)) this.keep(entry);
      throw error;
    } finally {
      this.writing.delete(key);
    }
  }

  /** Whether what an attempt came to is being written, or waits for the database. */
  keeps(deliveryId: string, number: number): boolean {
    const key = `${deliveryId}/${number}`;
    return this.writing.has(key) || this.kept.has(key);
  }

  /** What waits for the database is tried once more: of what has no workflow nobody else knows. */
  async drained(): Promise<void> {
    await this.batches.drained();
    await this.writeKept();
    clearTimeout(this.timer);
  }

  private keep(entry: Entry): void {
    // Past this many the oldest are given up: of what has a workflow its details, since it holds the outcome too, and what has
    // none is sent again.
    if (this.kept.size >= 10_000) this.kept.delete(this.kept.keys().next().value ?? '');
    this.kept.set(keyOf(entry), entry);
    this.timer ??= setTimeout(() => void this.writeKept(), RETRY_EVERY_MS).unref();
  }

  private async writeKept(): Promise<void> {
    await Promise.allSettled(
      [...this.kept].map(async ([key, entry]) => {
        try {
          await this.batches.add(entry);
          this.kept.delete(key);
        } catch (error) {
          if (!isUnavailable(error)) this.kept.delete(key);
        }
      }),
    );
    this.timer = undefined;
    if (this.kept.size > 0) this.timer = setTimeout(() => void this.writeKept(), RETRY_EVERY_MS).unref();
  }

  private async write(entries: Entry[]): Promise<undefined[]> {
    // One JSON text: the driver writes arrays element by element, and escapes what is JSON already once more.
    const rows = entries.map((entry) => ({
      delivery_id: entry.deliveryId,
      number: entry.attempt.number,
      trigger: entry.attempt.trigger,
      started_at: new Date(entry.attempt.startedAtMs),
      duration_ms: entry.attempt.durationMs,
      outcome: entry.attempt.outcome,
      status_code: entry.attempt.statusCode,
      error_code: entry.attempt.errorCode,
      error_detail: entry.details?.errorDetail,
      request: entry.details?.request,
      response: entry.details?.response,
      status: STATUS[entry.decision.kind],
      reason: reasonOf(entry),
      delay: entry.decision.kind === 'retry' ? entry.decision.delayMs / 1000 : null,
      age: (Date.now() - entry.attempt.startedAtMs) / 1000,
      quiet_ms: entry.details?.retryAfterMs,
    }));
    await this.database.prepared(HOT_RECORD.name, RECORD, [JSON.stringify(rows)]);
    return entries.map(() => undefined);
  }
}

const keyOf = ({ deliveryId, attempt }: Entry): string => `${deliveryId}/${attempt.number}`;

const STATUS = { delivered: 'delivered', failed: 'failed', retry: 'retrying' } as const;

function reasonOf({ decision, attempt }: Entry): string | null {
  switch (decision.kind) {
    case 'delivered':
      return null;
    case 'failed':
      return decision.reason;
    case 'retry':
      return attempt.errorCode ?? `http_${attempt.statusCode ?? 0}`;
  }
}

/** Whether the receiver has taken what is recorded once more, and had not before. */
const IS_BETTER = "excluded.outcome = 'delivered' AND attempts.outcome <> 'delivered'";
const TAKEN_OVER = ['trigger', 'started_at', 'duration_ms', 'outcome', 'status_code', 'error_code'];
const ADDED = ['error_detail', 'request', 'response'];

/** Whether the attempt is the one that was asked for by hand. When it was, the database's clock says. */
const IS_WISHED = `(d.tell = 'retry' AND l.trigger = 'manual'
  AND d.next_attempt_at <= now() - l.age * interval '1 second') IS TRUE`;
/** Whether another was asked for while it was under way: it follows, unless the receiver has taken this one. */
const IS_RETRIED_AFTER = `(d.tell = 'retry' AND l.status <> 'delivered') IS TRUE AND NOT (${IS_WISHED})`;
/** Whether what it came to does not change what the delivery is. */
const STAYS = `d.status = 'cancelled' OR (d.status IN ('held', 'skipped') AND l.status = 'retrying')
      OR (${IS_RETRIED_AFTER} AND l.status = 'failed')`;

/**
 * A cancelled delivery stays cancelled whatever an attempt that was under way came to, and a held one stays held unless
 * it is over. An attempt that was recorded before changes nothing but what is missing, unless the receiver has taken it: two
 * processes may have made it, where one was taken for dead or the delivery was cancelled and retried meanwhile. 410 disables the endpoint, unless it
 * answers a test, and leaves its other open deliveries as skipped, to be recovered by hand.
 */
const RECORD = `
  WITH input AS (
    SELECT * FROM json_to_recordset($1::json) AS i (delivery_id uuid, number int, trigger text, started_at timestamptz,
      duration_ms int, outcome text, status_code int, error_code text, error_detail text, request json, response json,
      status text, reason text, delay float8, age float8, quiet_ms float8)
  ), written AS (
    INSERT INTO attempts (delivery_id, number, trigger, started_at, duration_ms, outcome, status_code, error_code,
      error_detail, request, response)
    SELECT DISTINCT ON (delivery_id, number) delivery_id, number, trigger, started_at, duration_ms, outcome,
      status_code, error_code, error_detail, request, response
    FROM input ORDER BY delivery_id, number, status <> 'delivered', request IS NULL
    ON CONFLICT (delivery_id, number) DO UPDATE SET
      ${TAKEN_OVER.map((column) => `${column} = CASE WHEN ${IS_BETTER} THEN excluded.${column} ELSE attempts.${column} END`).join()},
      ${ADDED.map((column) => `${column} = CASE WHEN ${IS_BETTER} THEN excluded.${column} ELSE coalesce(attempts.${column}, excluded.${column}) END`).join()}
  ), latest AS (
    SELECT DISTINCT ON (delivery_id) * FROM input ORDER BY delivery_id, number DESC, status <> 'delivered'
  ), gone AS (
    UPDATE endpoints e SET disabled_reason = 'gone', updated_at = now()
    FROM latest l JOIN deliveries d ON d.id = l.delivery_id
    WHERE l.outcome = 'gone' AND NOT d.test AND e.id = d.endpoint_id AND e.disabled_reason IS NULL AND e.deleted_at IS NULL
    RETURNING e.id, e.account_id, e.url
  ), told AS (
    INSERT INTO notifications (id, account_id, endpoint_id, kind, data)
    SELECT posthorn_uuid_v7(), account_id, id, 'endpoint.disabled',
      json_build_object('endpointOrigin', substring(url FROM '^[a-z]+://[^/?#]+'), 'reason', 'gone') FROM gone
  ), followed AS (
    ${changeBacklogsOf(`'state'`, 'gone')}
  ), paced AS (
    INSERT INTO endpoint_pace AS p (endpoint_id, not_before)
      SELECT d.endpoint_id, now() + max(l.quiet_ms) * interval '1 ms'
      FROM latest l JOIN deliveries d ON d.id = l.delivery_id WHERE l.quiet_ms > 0
      GROUP BY d.endpoint_id ORDER BY d.endpoint_id
    ON CONFLICT (endpoint_id) DO UPDATE SET not_before = greatest(p.not_before, excluded.not_before)
  )
  UPDATE deliveries d SET
    attempt_count = l.number,
    budget_start = CASE WHEN ${IS_RETRIED_AFTER} AND l.status = 'failed' THEN l.number ELSE d.budget_start END,
    next_trigger = CASE WHEN ${IS_RETRIED_AFTER} THEN d.next_trigger ELSE 'schedule' END,
    express = false,
    lease = NULL,
    paced = false,
    probe = false,
    tell = CASE WHEN ${IS_WISHED} THEN NULL ELSE d.tell END,
    tell_next = CASE d.status WHEN 'held' THEN d.tell_next END,
    status = CASE WHEN ${STAYS} THEN d.status ELSE l.status END,
    status_reason = CASE WHEN ${STAYS} THEN d.status_reason ELSE l.reason END,
    next_attempt_at = CASE WHEN ${IS_RETRIED_AFTER} THEN d.next_attempt_at
      WHEN d.status NOT IN ('cancelled', 'skipped') THEN now() + l.delay * interval '1 second' END,
    due_at = CASE WHEN d.tell IS NOT NULL AND NOT (${IS_WISHED}) THEN d.due_at
      WHEN d.status <> 'held' THEN now() + (l.delay + ${RETRY_GRACE}) * interval '1 second' END,
    completed_at = CASE WHEN l.status = 'retrying' OR ${IS_RETRIED_AFTER} THEN d.completed_at ELSE now() END
  FROM latest l WHERE d.id = l.delivery_id AND (d.attempt_count < l.number
    OR (l.status = 'delivered' AND d.attempt_count = l.number AND d.attempt_count > d.budget_start
      AND d.status NOT IN ('delivered', 'cancelled')))`;

export const HOT_RECORD: HotStatement = { name: 'record_attempts', text: RECORD, nothing: ['[]'] };
