import { toId } from '../common/ids.js';
import type { Database } from '../database/database.js';
import type { Published } from './events.schema.js';

/** An event that is there already, as its publisher is told of it. */
interface EarlierRow {
  id: string;
  external_id: string | null;
  type: string;
  occurred_at: Date;
  matched: number;
}

const COLUMNS = 'e.id, e.external_id, e.type, e.occurred_at, e.matched';

/** @returns those of the account's events that there are, by id */
export async function findById(
  database: Database,
  accountId: string,
  ids: string[],
): Promise<Map<string, Published>> {
  const rows = await database.prepared<EarlierRow>(
    'find_again',
    `SELECT ${COLUMNS} FROM events e WHERE e.id = ANY ($1::uuid[]) AND e.account_id = $2`,
    [ids, accountId],
  );
  return new Map(rows.map((row) => [row.id, show(row)]));
}

/** @returns the events that hold the external ids of these, by the id of the one that asks */
export async function findByExternalId(
  database: Database,
  asking: { id: string; accountId: string; externalId: string | null }[],
): Promise<Map<string, Published>> {
  if (asking.length === 0) return new Map();
  const rows = await database.prepared<EarlierRow & { asked_by: string }>(
    'find_claimed',
    `SELECT i.id AS asked_by, ${COLUMNS}
      FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS i (id, account_id, external_id)
      JOIN event_external_ids x ON x.account_id = i.account_id AND x.external_id = i.external_id
      JOIN events e ON e.id = x.event_id`,
    [
      asking.map(({ id }) => id),
      asking.map(({ accountId }) => accountId),
      asking.map(({ externalId }) => externalId),
    ],
  );
  return new Map(rows.map((row) => [row.asked_by, show(row)]));
}

const show = (row: EarlierRow): Published => ({
  id: toId('event', row.id),
  externalId: row.external_id,
  type: row.type,
  timestamp: row.occurred_at.toISOString(),
  duplicate: true,
  matched: row.matched,
});
