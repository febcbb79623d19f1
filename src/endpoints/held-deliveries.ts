import type pg from 'pg';
import { IN_HAND_SECONDS } from '../dispatch/process-lease.js';

/** In the one order in which attempts are recorded, so that neither waits for the other. Before each change of them all. */
export async function lockOpenDeliveries(client: pg.PoolClient, endpointId: string): Promise<void> {
  await client.query(
    `SELECT count(*) FROM (
       SELECT FROM deliveries WHERE endpoint_id = $1 AND status IN ('pending', 'retrying', 'held') ORDER BY id FOR UPDATE
     ) locked`,
    [endpointId],
  );
}

/**
 * Deliveries to the endpoint wait from now on, for what the endpoint says.
 *
 * An express delivery has no workflow that could be told: holding it means not looking at it. The process that has it in
 * hand keeps it, since its attempt may be under way: it gives it up when it sees the pause.
 */
export async function holdDeliveries(client: pg.PoolClient, endpointId: string): Promise<void> {
  await lockOpenDeliveries(client, endpointId);
  await client.query(
    `UPDATE deliveries SET status = 'held', status_reason = ${REASON}, lease = CASE WHEN express THEN lease END,
       due_at = CASE WHEN express THEN NULL ELSE now() END, tell = CASE WHEN express THEN NULL ELSE 'hold' END
      WHERE endpoint_id = $1 AND status IN ('pending', 'retrying')`,
    [endpointId],
  );
  await client.query(
    `UPDATE deliveries SET status_reason = ${REASON}
      WHERE endpoint_id = $1 AND status = 'held' AND status_reason IS DISTINCT FROM ${REASON}`,
    [endpointId],
  );
}

const REASON = '(SELECT held_reason FROM endpoints WHERE id = $1)';

/** What a living process still has in hand it sends itself. */
export async function releaseDeliveries(client: pg.PoolClient, endpointId: string): Promise<void> {
  await lockOpenDeliveries(client, endpointId);
  await client.query(
    `UPDATE deliveries d SET status = CASE WHEN d.attempt_count > d.budget_start THEN 'retrying' ELSE 'pending' END,
       status_reason = NULL, lease = l.id, tell = CASE WHEN d.express THEN NULL ELSE 'release' END,
       due_at = CASE WHEN l.id IS NULL THEN now() ELSE now() + interval '${IN_HAND_SECONDS} seconds' END
      FROM deliveries h LEFT JOIN leases l ON l.id = h.lease AND l.expires_at > now()
      WHERE h.id = d.id AND d.endpoint_id = $1 AND h.endpoint_id = $1 AND d.status = 'held'`,
    [endpointId],
  );
}
