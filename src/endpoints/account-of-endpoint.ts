import type { Database } from '../database/database.js';

/** @returns UUID of the account that an endpoint is or was of; undefined where there never was one */
export async function accountOfEndpoint(database: Database, endpointId: string): Promise<string | undefined> {
  const [row] = await database.prepared<{ account_id: string }>(
    'account_of_endpoint',
    'SELECT account_id FROM endpoints WHERE id = $1',
    [endpointId],
  );
  return row?.account_id;
}
