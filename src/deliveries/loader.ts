import { Injectable } from '@nestjs/common';
import type { AttemptSummary, Trigger } from '../../workflows/contracts.js';
import type { Outcome } from '../../workflows/outcomes.js';
import { MicroBatch } from '../common/micro-batch.js';
import { Database, type HotStatement } from '../database/database.js';
import type { RetrySchedule } from '../endpoints/retry-schedule.js';
import type { Signing } from '../signing/schemes.js';
import { LIMIT_COLUMNS, type LimitColumns } from '../pacing/limits.js';

export type DeliveryStatus =
  'pending' | 'retrying' | 'delivered' | 'failed' | 'cancelled' | 'held' | 'skipped';

/** Seconds after which an attempt that no workflow has made is seen to by the reconciler. */
export const RETRY_GRACE = 10;

/** Everything an attempt needs, as it is now: an endpoint's change takes effect at the next attempt. */
export interface LoadedDelivery extends LimitColumns {
  id: string;
  status: DeliveryStatus;
  status_reason: string | null;
  attempt_count: number;
  next_attempt_at: Date | null;
  event_id: string;
  type: string;
  occurred_at: Date;
  version: string;
  data: string;
  endpoint_id: string;
  url: string;
  timeout_ms: number;
  retry_schedule: RetrySchedule;
  sealed_headers: Buffer | null;
  /** Null: Standard Webhooks. */
  signing: Signing | null;
  paused: boolean;
  disabled: boolean;
  deleted: boolean;
  express: boolean;
  lease: string | null;
  secret_ids: string[] | null;
  secrets: Buffer[] | null;
}

/** Reads deliveries for their attempts, many at once. */
@Injectable()
export class Loader {
  private readonly batches: MicroBatch<string, LoadedDelivery | null>;

  constructor(private readonly database: Database) {
    this.batches = new MicroBatch((ids) => this.read(ids), {
      maxItems: 200,
      concurrency: 2,
      // Under load a moment's wait makes one statement of many.
      spacingMs: 4,
    });
  }

  /** @returns null when the delivery was erased */
  load(deliveryId: string): Promise<LoadedDelivery | null> {
    return this.batches.add(deliveryId);
  }

  /** The attempts of these deliveries as histories hold them, oldest first, by delivery. */
  async attempts(deliveryIds: string[]): Promise<Map<string, AttemptSummary[]>> {
    const rows = await this.database.prepared<AttemptRow>(
      'attempt_summaries',
      `SELECT delivery_id, number, trigger, started_at, duration_ms, outcome, status_code, error_code
         FROM attempts WHERE delivery_id = ANY ($1::uuid[]) ORDER BY delivery_id, number`,
      [deliveryIds],
    );
    const found = new Map<string, AttemptSummary[]>(deliveryIds.map((id) => [id, []]));
    for (const row of rows) found.get(row.delivery_id)?.push(summarise(row));
    return found;
  }

  /**
   * An attempt's endpoint is paused: the record says held, and nobody has it in hand.
   *
   * @returns false when the endpoint was resumed in the meantime
   */
  async hold(delivery: LoadedDelivery): Promise<boolean> {
    const [row] = await this.database.prepared<{ paused: boolean }>(
      'hold_delivery',
      `WITH endpoint AS (SELECT id FROM endpoints WHERE id = $2 AND paused FOR SHARE), held AS (
         UPDATE deliveries SET status = 'held', status_reason = 'endpoint_paused', due_at = NULL, lease = NULL
           FROM endpoint WHERE deliveries.id = $1 AND (status IN ('pending', 'retrying') OR (status = 'held' AND express))
       )
       SELECT EXISTS (SELECT FROM endpoint) AS paused`,
      [delivery.id, delivery.endpoint_id],
    );
    return row?.paused === true;
  }

  /**
   * The endpoint's pace had no room for an attempt: its workflow comes back to it.
   *
   * @param isReserved whether that moment was reserved for it
   * @returns false when the reservation has been forgotten since, by a change of the rate that this delivery was not yet
   *   told of: it must ask again
   */
  async defer(deliveryId: string, waitMs: number, isReserved: boolean): Promise<boolean> {
    const [row] = await this.database.prepared<{ forgotten: boolean }>(
      'defer_delivery',
      // A change of the rate waits for this lock or is seen behind it, so either it finds the delivery, or we find it.
      `WITH pace AS (
         SELECT p.free_at FROM deliveries d JOIN endpoint_pace p ON p.endpoint_id = d.endpoint_id
         WHERE d.id = $1 FOR SHARE OF p
       ), reservation AS (
         SELECT $3::boolean AND NOT EXISTS (
           SELECT FROM pace WHERE free_at > now() + ($2::float8 - 1000) * interval '1 ms') AS forgotten
       ), deferred AS (
         UPDATE deliveries SET paced = true, lease = NULL, next_attempt_at = now() + $2 * interval '1 ms',
           due_at = CASE WHEN tell IS NULL THEN now() + $2 * interval '1 ms' + interval '${RETRY_GRACE} seconds'
             ELSE due_at END
         FROM reservation WHERE id = $1 AND NOT forgotten AND status IN ('pending', 'retrying')
       )
       SELECT forgotten FROM reservation`,
      [deliveryId, waitMs, isReserved],
    );
    return row?.forgotten !== true;
  }

  /** An attempt's endpoint was deleted or disabled after the event was matched. */
  async end(delivery: LoadedDelivery, status: 'cancelled' | 'skipped', reason: string): Promise<void> {
    await this.database.prepared(
      'end_delivery',
      `UPDATE deliveries SET status = $2, status_reason = $3, next_attempt_at = NULL, due_at = NULL, tell = NULL,
         lease = NULL, completed_at = now() WHERE id = $1 AND status IN ('pending', 'retrying', 'held')`,
      [delivery.id, status, reason],
    );
  }

  private async read(ids: string[]): Promise<(LoadedDelivery | null)[]> {
    const rows = await this.database.prepared<LoadedDelivery>(HOT_LOAD.name, HOT_LOAD.text, [ids]);
    const byId = new Map(rows.map((row) => [row.id, row]));
    return ids.map((id) => byId.get(id) ?? null);
  }
}

export const HOT_LOAD: HotStatement = {
  name: 'load_deliveries',
  text: `SELECT d.id, d.status, d.status_reason, d.express, d.lease, d.attempt_count, d.next_attempt_at, d.event_id, v.type, v.occurred_at,
     v.version, v.data, d.endpoint_id, e.url, e.timeout_ms, e.retry_schedule, e.sealed_headers, e.signing, e.paused,
     e.disabled_reason IS NOT NULL AS disabled, e.deleted_at IS NOT NULL AS deleted, s.secret_ids, s.secrets,
     ${LIMIT_COLUMNS}
   FROM unnest($1::uuid[]) AS asked (id)
   JOIN deliveries d ON d.id = asked.id
   JOIN events v ON v.id = d.event_id
   JOIN endpoints e ON e.id = d.endpoint_id
   LEFT JOIN endpoint_pace p ON p.endpoint_id = e.id
   CROSS JOIN LATERAL (
     SELECT array_agg(id ORDER BY id DESC) AS secret_ids, array_agg(sealed ORDER BY id DESC) AS secrets
     FROM endpoint_secrets WHERE endpoint_id = e.id AND (expires_at IS NULL OR expires_at > now())
   ) s`,
  nothing: [[]],
};

export interface AttemptRow {
  delivery_id: string;
  number: number;
  trigger: Trigger;
  started_at: Date;
  duration_ms: number;
  outcome: Outcome;
  status_code: number | null;
  error_code: string | null;
}

export function summarise(row: AttemptRow): AttemptSummary {
  return {
    number: row.number,
    trigger: row.trigger,
    startedAtMs: row.started_at.getTime(),
    durationMs: row.duration_ms,
    outcome: row.outcome,
    ...(row.status_code === null ? {} : { statusCode: row.status_code }),
    ...(row.error_code === null ? {} : { errorCode: row.error_code }),
  };
}
