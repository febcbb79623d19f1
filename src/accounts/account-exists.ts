import type { Database } from '../database/database.js';

/** @param id UUID */
export async function accountExists(database: Database, id: string): Promise<boolean> {
  const rows = await database.prepared('account_exists', 'SELECT 1 FROM accounts WHERE id = $1', [id]);
  return rows.length > 0;
}
