import type pg from 'pg';

/** Deliveries wait from now on, until the receiver has shown that it wants them. */
export async function startVerification(client: pg.PoolClient, endpointId: string): Promise<void> {
  await client.query('UPDATE endpoints SET unverified = true, verification_error = NULL WHERE id = $1', [
    endpointId,
  ]);
  await client.query(
    `INSERT INTO endpoint_verifications (endpoint_id, review_at) VALUES ($1, now())
      ON CONFLICT (endpoint_id) DO UPDATE SET started_at = now(), attempts = 0, last_attempt_at = NULL,
        error_detail = NULL, verified_at = NULL, review_at = now()`,
    [endpointId],
  );
}

/** Nobody asks any more whether they are wanted. */
export async function dropVerification(client: pg.PoolClient, endpointId: string): Promise<void> {
  await client.query('UPDATE endpoints SET unverified = false, verification_error = NULL WHERE id = $1', [
    endpointId,
  ]);
  await client.query('DELETE FROM endpoint_verifications WHERE endpoint_id = $1', [endpointId]);
}
