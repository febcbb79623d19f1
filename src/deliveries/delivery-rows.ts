import { toId } from '../common/ids.js';
import { priorityOf } from '../common/priority.js';
import type { DeliverySummary } from './deliveries.schema.js';
import type { DeliveryStatus, HeldReason } from './loader.js';

/** A delivery as the log has it. */
export interface DeliveryRow {
  id: string;
  account_id: string;
  /** Of a batch: its own id. */
  event_id: string;
  event_type: string;
  endpoint_id: string;
  priority: number;
  /** `batched` is told to nobody: it is as its batch is, or it is being collected. */
  status: DeliveryStatus | 'batched';
  status_reason: string | null;
  attempt_count: number;
  next_attempt_at: Date | null;
  test: boolean;
  created_at: Date;
  completed_at: Date | null;
  batch_id: string | null;
  /** Of a batch: how many events it was made of. */
  events: number | null;
  /** Of a batch: UUID of what its request is known by. */
  message_id: string | null;
  carrier_status: DeliveryStatus | null;
  carrier_reason: string | null;
  carrier_next_at: Date | null;
  /** Of what is being collected: why deliveries to its endpoint wait, and when it goes at the latest. */
  held_reason: HeldReason | null;
  closes_at: Date | null;
}

const COLUMNS = `id, account_id, event_id, event_type, endpoint_id, priority, status, status_reason, attempt_count,
  next_attempt_at, test, created_at, completed_at, batch_id`;

/** Rows of the log. @param where over `deliveries` alone. @param status as it is shown, one of a fixed set; null for any */
export function selectDeliveries(where: string, status: DeliveryStatus | null, limit: number): string {
  const page = (condition: string) =>
    `SELECT ${COLUMNS} FROM deliveries WHERE ${where}${condition} ORDER BY id DESC LIMIT ${limit}`;
  // Written out, and each by itself: only so can the partial index of undelivered ones be used.
  const own = page(status === null ? '' : ` AND status = '${status}'`);
  const isOpenStatus = status !== null && isOpen(status);
  const source = isOpenStatus
    ? `(${own}) UNION ALL (${page(` AND status = 'batched' AND ${CARRIED_AS} = '${status}'`)}) ORDER BY id DESC LIMIT ${limit}`
    : own;
  return `SELECT d.*, b.events, b.message_id, c.status AS carrier_status, c.status_reason AS carrier_reason,
     c.next_attempt_at AS carrier_next_at, e.held_reason, w.closes_at
    FROM (${source}) d
    LEFT JOIN batches b ON d.id = d.event_id AND b.id = d.id
    LEFT JOIN deliveries c ON d.status = 'batched' AND c.id = d.batch_id
    LEFT JOIN endpoints e ON d.status = 'batched' AND d.batch_id IS NULL AND e.id = d.endpoint_id
    LEFT JOIN batch_windows w ON d.status = 'batched' AND d.batch_id IS NULL AND w.endpoint_id = d.endpoint_id
    ORDER BY d.id DESC`;
}

/** What {@link statusOf} says of a row of `deliveries` that is `batched`. */
const CARRIED_AS = `coalesce((SELECT c.status FROM deliveries c WHERE c.id = deliveries.batch_id),
  (SELECT CASE WHEN e.held_reason IS NULL THEN 'pending' ELSE 'held' END FROM endpoints e WHERE e.id = deliveries.endpoint_id))`;

export function statusOf(row: DeliveryRow): DeliveryStatus {
  if (row.status !== 'batched') return row.status;
  return row.carrier_status ?? (row.held_reason === null ? 'pending' : 'held');
}

export const isOpen = (status: DeliveryStatus): boolean =>
  status === 'pending' || status === 'retrying' || status === 'held';

export function summarise(row: DeliveryRow): DeliverySummary {
  const status = statusOf(row);
  const isBatched = row.status === 'batched';
  const isBatch = row.event_id === row.id;
  const nextAt = isBatched ? (row.carrier_next_at ?? row.closes_at) : row.next_attempt_at;
  return {
    id: toId('delivery', row.id),
    accountId: toId('account', row.account_id),
    eventId: isBatch ? null : toId('event', row.event_id),
    eventType: isBatch ? null : row.event_type,
    endpointId: toId('endpoint', row.endpoint_id),
    batchId: row.batch_id === null ? null : toId('delivery', row.batch_id),
    batch:
      row.message_id === null
        ? null
        : { events: row.events ?? 0, webhookId: toId('message', row.message_id) },
    priority: priorityOf(row.priority),
    status,
    statusReason: isBatched ? (row.carrier_reason ?? row.held_reason) : row.status_reason,
    attemptCount: row.attempt_count,
    nextAttemptAt: isOpen(status) ? (nextAt?.toISOString() ?? null) : null,
    test: row.test,
    createdAt: row.created_at.toISOString(),
    completedAt: row.completed_at?.toISOString() ?? null,
  };
}
