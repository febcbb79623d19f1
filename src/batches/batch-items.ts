import type pg from 'pg';

/** What cancelling a delivery is to know of it. */
export interface LockedDelivery<Status> {
  status: Status;
  batch_id: string | null;
}

/**
 * Locks a delivery, and before it the batch that carries it: in the order in which an attempt that ends changes both.
 *
 * @returns undefined where the account has none
 */
export async function lockWithBatch<Status>(
  client: pg.PoolClient,
  accountId: string,
  id: string,
): Promise<LockedDelivery<Status> | undefined> {
  await client.query({
    name: 'lock_batch_of',
    text: `SELECT 1 FROM deliveries WHERE id = (
         SELECT batch_id FROM deliveries WHERE id = $1 AND account_id = $2 AND status = 'batched') FOR UPDATE`,
    values: [id, accountId],
  });
  const { rows } = await client.query<LockedDelivery<Status>>({
    name: 'lock_delivery',
    text: 'SELECT status, batch_id FROM deliveries WHERE id = $1 AND account_id = $2 FOR UPDATE',
    values: [id, accountId],
  });
  return rows[0];
}

/** Takes a delivery out of its batch, or out of what is collected. @returns the batch, where nothing is left of it */
export async function cancelItem(
  client: pg.PoolClient,
  id: string,
  batchId: string | null,
): Promise<string | null> {
  await client.query({
    name: 'cancel_item',
    text: `UPDATE deliveries SET status = 'cancelled', status_reason = 'cancelled_by_request', completed_at = now(),
       batch_id = NULL WHERE id = $1`,
    values: [id],
  });
  if (batchId === null) return null;
  const { rows } = await client.query<{ empty: boolean }>({
    name: 'is_batch_empty',
    text: `SELECT NOT EXISTS (SELECT FROM deliveries WHERE batch_id = $1 AND status = 'batched') AS empty`,
    values: [batchId],
  });
  return rows[0]?.empty === true ? batchId : null;
}
