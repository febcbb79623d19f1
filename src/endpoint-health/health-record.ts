import type pg from 'pg';
import { changeBacklog, TOLD_LATER } from '../endpoints/backlog-changes.js';
import type { HealthRecord, HealthReview, HealthState, Trouble } from './health-machine.js';
import { recentAttemptsOf } from './stats-tables.js';

/** An endpoint's row of the table, its latest hour, and the clock of the database. */
export interface HealthRow {
  now: Date;
  state: HealthState;
  state_since: Date;
  failing_since: Date | null;
  consecutive_failures: number;
  failed_deliveries: number;
  last_error: string | null;
  exhausted: number;
  announced: Trouble | null;
  told_at: HealthRecord['toldAtMs'];
  probed_at: Date | null;
  attempts: number;
  delivered: number;
  spanMs: number;
}

/** The state of a row that is kept for an endpoint that was disabled: it has no figures. */
export const DISABLED = 'disabled';

/** @param client has locked the endpoint, so that reviews take turns */
export async function lockRecord(client: pg.PoolClient, endpointId: string): Promise<HealthRow | undefined> {
  const { rows } = await client.query<HealthRow>(
    `SELECT clock_timestamp() AS now, h.*, cardinality(h.failed_deliveries) AS failed_deliveries,
       r.attempts, r.delivered, r.span_ms AS "spanMs"
      FROM endpoint_health h, LATERAL (${recentAttemptsOf('h.endpoint_id')}) r
      WHERE h.endpoint_id = $1 FOR UPDATE OF h`,
    [endpointId],
  );
  return rows[0];
}

export const recordOf = (row: HealthRow): HealthRecord => ({
  state: row.state,
  stateSinceMs: row.state_since.getTime(),
  failingSinceMs: row.failing_since?.getTime() ?? null,
  consecutiveFailures: row.consecutive_failures,
  failedDeliveries: row.failed_deliveries,
  exhausted: row.exhausted,
  announced: row.announced,
  toldAtMs: row.told_at,
  probedAtMs: row.probed_at?.getTime() ?? null,
});

export async function writeRecord(
  client: pg.PoolClient,
  endpointId: string,
  { record, againInMs }: HealthReview,
): Promise<void> {
  await client.query(
    `UPDATE endpoint_health SET state = $2, state_since = $3, exhausted = $4, announced = $5, told_at = $6, probed_at = $7,
       review_at = clock_timestamp() + $8 * interval '1 ms'
      WHERE endpoint_id = $1`,
    [
      endpointId,
      record.state,
      new Date(record.stateSinceMs),
      record.exhausted,
      record.announced,
      JSON.stringify(record.toldAtMs),
      record.probedAtMs === null ? null : new Date(record.probedAtMs),
      againInMs,
    ],
  );
}

/**
 * Deliveries that wait are not told when a circuit opens: each finds out when its time comes, and waits then at no cost.
 * When it closes, all that were held go, at the endpoint's own pace.
 */
export async function setCircuit(client: pg.PoolClient, endpointId: string, isOpen: boolean): Promise<void> {
  const { rows } = await client.query<{ held_reason: string | null }>(
    'UPDATE endpoints SET circuit_open = $2 WHERE id = $1 RETURNING held_reason',
    [endpointId, isOpen],
  );
  if (rows[0]?.held_reason === null) await changeBacklog(client, endpointId, 'state');
}

/**
 * Begins anew: the owner has changed where deliveries go, wants them to go again, or wants none.
 *
 * @returns whether a circuit was open, which may have held deliveries
 */
export async function forgetHealth(client: pg.PoolClient, endpointId: string): Promise<boolean> {
  await client.query('DELETE FROM endpoint_health WHERE endpoint_id = $1', [endpointId]);
  const closed = await client.query(
    'UPDATE endpoints SET circuit_open = false WHERE id = $1 AND circuit_open',
    [endpointId],
  );
  return closed.rowCount === 1;
}

/** Of a disabled endpoint: attempts that were under way then may have begun a record anew, which nobody looks at. */
export async function forgetBegunAnew(client: pg.PoolClient, endpointId: string): Promise<void> {
  await client.query(`DELETE FROM endpoint_health WHERE endpoint_id = $1 AND state <> '${DISABLED}'`, [
    endpointId,
  ]);
}

/** Lets this delivery through an open circuit now. @returns false when it is not held by one */
export async function probeWith(client: pg.PoolClient, deliveryId: string): Promise<boolean> {
  const released = await client.query(
    `${RELEASE_AS_PROBE} WHERE d.id = $1 AND d.status = 'held' AND d.status_reason = 'circuit_open'`,
    [deliveryId],
  );
  return released.rowCount === 1;
}

/** Follow with the condition. */
const RELEASE_AS_PROBE = `
  UPDATE deliveries d SET status = CASE WHEN d.attempt_count > d.budget_start THEN 'retrying' ELSE 'pending' END,
    status_reason = NULL, probe = true, tell = CASE WHEN d.express THEN NULL ELSE 'release' END, ${TOLD_LATER},
    due_at = now(), lease = NULL`;

/** The delivery with the fewest attempts: so they take turns, and none spends all of its own on a dead endpoint. */
export async function probeOne(client: pg.PoolClient, accountId: string, endpointId: string): Promise<void> {
  await client.query(
    `${RELEASE_AS_PROBE} WHERE d.id = (
       SELECT id FROM deliveries WHERE account_id = $1 AND endpoint_id = $2 AND status = 'held'
         AND status_reason = 'circuit_open'
       ORDER BY attempt_count, id LIMIT 1 FOR UPDATE SKIP LOCKED)`,
    [accountId, endpointId],
  );
}

/**
 * Its open deliveries are left as skipped, to be recovered by hand.
 *
 * @param probeMs after which it is asked whether it is back; 0 for never
 */
export async function disable(client: pg.PoolClient, endpointId: string, probeMs: number): Promise<void> {
  await client.query(`UPDATE endpoints SET disabled_reason = 'failing', updated_at = now() WHERE id = $1`, [
    endpointId,
  ]);
  await forgetHealth(client, endpointId);
  if (probeMs > 0) {
    await client.query(
      `INSERT INTO endpoint_health (endpoint_id, state, review_at)
        VALUES ($1, '${DISABLED}', now() + $2 * interval '1 ms')`,
      [endpointId, probeMs],
    );
  }
  await changeBacklog(client, endpointId, 'state');
}
