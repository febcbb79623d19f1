import type pg from 'pg';
import { changeBacklog } from '../endpoints/backlog-changes.js';

/**
 * What was reserved at the old rate does not count at the new one, and whatever waits for its turn asks again. A
 * `Retry-After` still in force stays: the receiver asked for it, not the limit.
 */
export async function forgetReservations(client: pg.PoolClient, endpointId: string): Promise<void> {
  await client.query('UPDATE endpoint_pace SET free_at = NULL WHERE endpoint_id = $1', [endpointId]);
  await changeBacklog(client, endpointId, 'pace');
}
