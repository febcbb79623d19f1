import { Injectable } from '@nestjs/common';
import type { AttemptSummary, Trigger } from '../../workflows/contracts.js';
import type { Outcome } from '../../workflows/outcomes.js';
import { MicroBatch } from '../common/micro-batch.js';
import { Database, type HotStatement } from '../database/database.js';
import type { RetrySchedule } from '../endpoints/retry-schedule.js';
import { LIVE_SECRETS, REACHABLE_COLUMNS, type ReachableEndpoint } from '../endpoints/endpoint-sender.js';
import type { FormatName, Payload } from '../messages/message.js';
import { LIMIT_COLUMNS, type LimitColumns } from '../pacing/limits.js';
import { STALE_AFTER_MS } from '../pacing/pacer.js';

export type HeldReason = 'endpoint_paused' | 'endpoint_unverified' | 'circuit_open';

export type DeliveryStatus =
  'pending' | 'retrying' | 'delivered' | 'failed' | 'cancelled' | 'held' | 'skipped';

/** Seconds after which an attempt that no workflow has made is seen to by the reconciler. */
export const RETRY_GRACE = 10;

/** What an attempt needs of its endpoint. */
export interface LoadedEndpoint extends LimitColumns, ReachableEndpoint {
  payload: Payload;
  format: FormatName;
  /** Whether the endpoint has its events collected. */
  in_batches: boolean;
  retry_schedule: RetrySchedule;
  /** Why deliveries to the endpoint wait; null when they go. */
  held_reason: HeldReason | null;
  disabled: boolean;
  deleted: boolean;
  /** The version of the endpoint's transformation that is in force; null where there is none. */
  transformation_id: string | null;
  /** Names of the lookups that the event is enriched by; null where there are none. */
  lookups: string[] | null;
}

/** Everything an attempt needs, as it is when it begins: an endpoint's change takes effect at the next one. */
export interface LoadedAttempt extends LoadedEndpoint {
  id: string;
  status: DeliveryStatus;
  status_reason: string | null;
  attempt_count: number;
  next_attempt_at: Date | null;
  account_id: string;
  /** Of a batch: its own id. */
  event_id: string;
  test: boolean;
  /** Whether it is the one that is tried while the circuit is open. */
  probe: boolean;
  express: boolean;
  lease: string | null;
  /** Of the data that it sends, all together. */
  bytes: number;
}

export interface EventFields {
  type: string;
  occurred_at: Date;
  version: string;
  /** The version of the type that the endpoint wants; null where it wants whatever is published. */
  pinned_version: string | null;
  data: string;
  /** Null where neither the endpoint's format shows them nor its lookups may ask by them. */
  tags: string[] | null;
}

/** The delivery of one event. */
export interface LoadedDelivery extends LoadedAttempt, EventFields {}

/** The delivery of one event whose data is large, and not read yet. */
export interface UnreadDelivery extends LoadedAttempt, Omit<EventFields, 'data'> {
  data: null;
}

/** A delivery that carries others. */
export interface LoadedBatch extends LoadedAttempt {
  /** UUID of what its request is known by. */
  message_id: string;
}

export type Loaded = LoadedDelivery | UnreadDelivery | LoadedBatch;

export const isBatch = (loaded: Loaded): loaded is LoadedBatch => 'message_id' in loaded;

export const isUnread = (loaded: Loaded): loaded is UnreadDelivery =>
  !isBatch(loaded) && loaded.data === null;

/** Data of more bytes is read by itself, once there is room for it. */
export const LARGE_BYTES = 16 * 1024;

const NOTHING_KNOWN = () => undefined;

/** Reads deliveries for their attempts, many at once. */
@Injectable()
export class Loader {
  private readonly batches: MicroBatch<string, Loaded | null>;
  private readonly largeData: MicroBatch<string, string | null>;
  private known: (deliveryId: string) => LoadedDelivery | undefined = NOTHING_KNOWN;

  constructor(private readonly database: Database) {
    this.batches = new MicroBatch((ids) => this.read(ids), {
      maxItems: 200,
      concurrency: 2,
      // Under load a moment's wait makes one statement of many.
      spacingMs: 4,
    });
    this.largeData = new MicroBatch((eventIds) => this.readData(eventIds), { maxItems: 8, concurrency: 2 });
  }

  /**
   * Attempts that `begin` begins, before it returns, need not read again what was read when their deliveries were made. What
   * has to wait is read when its turn comes: it may have been cancelled by then.
   *
   * @param readAtMs no reading was earlier, by the monotonic clock; one too long ago counts for nothing
   */
  whileKnown(
    known: (deliveryId: string) => LoadedDelivery | undefined,
    readAtMs: number,
    begin: () => void,
  ): void {
    if (performance.now() - readAtMs <= STALE_AFTER_MS) this.known = known;
    try {
      begin();
    } finally {
      this.known = NOTHING_KNOWN;
    }
  }

  /** @returns null when the delivery was erased */
  load(deliveryId: string): Promise<Loaded | null> {
    const known = this.known(deliveryId);
    return known ? Promise.resolve(known) : this.batches.add(deliveryId);
  }

  /** @returns null when the event was erased */
  async whole(delivery: UnreadDelivery): Promise<LoadedDelivery | null> {
    const data = await this.largeData.add(delivery.event_id);
    return data === null ? null : { ...delivery, data };
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
   * Deliveries to an attempt's endpoint wait: the record says held, and nobody has it in hand.
   *
   * @returns false when they have begun to go in the meantime
   */
  async hold(delivery: LoadedAttempt): Promise<boolean> {
    const [row] = await this.database.prepared<{ holds: boolean }>(
      'hold_delivery',
      `WITH endpoint AS (
         SELECT id, held_reason FROM endpoints e WHERE id = $2 AND ${HOLDS} FOR SHARE
       ), held AS (
         UPDATE deliveries SET status = 'held', status_reason = endpoint.held_reason, due_at = NULL, lease = NULL
           FROM endpoint WHERE deliveries.id = $1 AND (status IN ('pending', 'retrying') OR (status = 'held' AND express))
       )
       SELECT EXISTS (SELECT FROM endpoint) AS holds`,
      [delivery.id, delivery.endpoint_id],
    );
    return row?.holds === true;
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
  async end(delivery: LoadedAttempt, status: 'cancelled' | 'skipped', reason: string): Promise<void> {
    await this.database.prepared(
      'end_delivery',
      `UPDATE deliveries SET status = $2, status_reason = $3, next_attempt_at = NULL, due_at = NULL, tell = NULL,
         lease = NULL, completed_at = now() WHERE id = $1 AND status IN ('pending', 'retrying', 'held')`,
      [delivery.id, status, reason],
    );
  }

  private async read(ids: string[]): Promise<(Loaded | null)[]> {
    const rows = await this.database.prepared<LoadedDelivery | UnreadDelivery>(HOT_LOAD.name, HOT_LOAD.text, [
      ids,
    ]);
    const byId = new Map<string, Loaded>(rows.map((row) => [row.id, row]));
    if (byId.size < ids.length) {
      const others = ids.filter((id) => !byId.has(id));
      for (const row of await this.database.prepared<LoadedBatch>('load_batches', LOAD_BATCHES, [others]))
        byId.set(row.id, row);
    }
    return ids.map((id) => byId.get(id) ?? null);
  }

  private async readData(eventIds: string[]): Promise<(string | null)[]> {
    const rows = await this.database.prepared<{ id: string; data: string }>(
      'large_data',
      'SELECT id, data FROM events WHERE id = ANY ($1::uuid[])',
      [eventIds],
    );
    const byId = new Map(rows.map(({ id, data }) => [id, data]));
    return eventIds.map((id) => byId.get(id) ?? null);
  }
}

/** Whether deliveries to `endpoints e` wait. */
export const HOLDS = '(e.held_reason IS NOT NULL AND e.disabled_reason IS NULL AND e.deleted_at IS NULL)';

/** Selects a {@link LoadedEndpoint}, of {@link endpointsOf}. */
export const ENDPOINT_COLUMNS = `${REACHABLE_COLUMNS}, e.payload, e.format, e.batch IS NOT NULL AS in_batches, e.retry_schedule,
  e.held_reason, e.disabled_reason IS NOT NULL AS disabled, e.deleted_at IS NOT NULL AS deleted, s.secrets,
  e.transformation_id, e.lookups, ${LIMIT_COLUMNS}`;

/** Joins the endpoint of `source` with what else there is to know of it. */
export const endpointsOf = (source: string): string => `
   JOIN endpoints e ON e.id = ${source}.endpoint_id
   LEFT JOIN endpoint_pace p ON p.endpoint_id = e.id
   CROSS JOIN ${LIVE_SECRETS}`;

const ATTEMPT_COLUMNS = `d.id, d.status, d.status_reason, d.express, d.lease, d.attempt_count, d.next_attempt_at, d.account_id,
  d.event_id, d.test, d.probe, ${ENDPOINT_COLUMNS}`;

/** {@link EventFields} of `events v` for `endpoints e`, but for its data. */
const EVENT_HEAD_COLUMNS = `v.type, v.occurred_at, v.version, e.event_versions ->> v.type AS pinned_version,
  octet_length(v.data) AS bytes, CASE WHEN e.format <> 'posthorn' OR e.lookups IS NOT NULL THEN v.tags END AS tags`;

/** {@link EventFields} of `events v` for `endpoints e`. */
export const EVENT_COLUMNS = `${EVENT_HEAD_COLUMNS}, v.data`;

export const HOT_LOAD: HotStatement = {
  name: 'load_deliveries',
  // How long it is, is known of what is stored elsewhere, too, without its being read.
  text: `SELECT ${ATTEMPT_COLUMNS}, ${EVENT_HEAD_COLUMNS},
     CASE WHEN octet_length(v.data) <= ${LARGE_BYTES} THEN v.data END AS data
   FROM unnest($1::uuid[]) AS asked (id)
   JOIN deliveries d ON d.id = asked.id
   JOIN events v ON v.id = d.event_id ${endpointsOf('d')}`,
  nothing: [[]],
};

const LOAD_BATCHES = `SELECT ${ATTEMPT_COLUMNS}, b.message_id, (
     SELECT coalesce(sum(octet_length(v.data)), 0)::float8
     FROM deliveries i JOIN events v ON v.id = i.event_id WHERE i.batch_id = d.id AND i.status = 'batched') AS bytes
   FROM unnest($1::uuid[]) AS asked (id)
   JOIN deliveries d ON d.id = asked.id
   JOIN batches b ON b.id = d.id ${endpointsOf('d')}`;

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
