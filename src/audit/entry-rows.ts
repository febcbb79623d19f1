import { toId } from '../common/ids.js';
import type { Action } from './actions.js';
import type { Changes } from './changes.js';
import type { AuditEntry } from './entry.js';

/** The time is read as the text that was hashed. */
export const ENTRY_COLUMNS = `id, account_id, sequence, key_id, address, user_agent, action, resource_id, changes, request_id,
  previous_hash, hash, coalesce(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), '') AS created_at`;

export interface EntryRow {
  id: string;
  account_id: string | null;
  /** bigint comes as text. */
  sequence: string;
  created_at: string;
  key_id: string;
  address: string | null;
  user_agent: string | null;
  action: Action;
  resource_id: string;
  changes: Changes;
  request_id: string;
  previous_hash: Buffer | null;
  hash: Buffer;
}

export const toEntry = (row: EntryRow): AuditEntry => ({
  id: toId('audit', row.id),
  accountId: row.account_id === null ? null : toId('account', row.account_id),
  sequence: Number(row.sequence),
  createdAt: row.created_at,
  actor: row.key_id,
  address: row.address,
  userAgent: row.user_agent,
  action: row.action,
  resourceId: row.resource_id,
  changes: row.changes,
  requestId: row.request_id,
  previousHash: row.previous_hash?.toString('hex') ?? null,
  hash: row.hash.toString('hex'),
});
