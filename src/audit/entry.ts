import { createHash } from 'node:crypto';
import type { Action } from './actions.js';
import { canonicalJson } from './canonical-json.js';
import type { Changes } from './changes.js';

/** An entry of the audit log as the API shows it. */
export interface AuditEntry {
  /** `aud_…` */
  id: string;
  /** `acc_…`; null in the operator's chain. */
  accountId: string | null;
  /** Counts from 1 in each chain. */
  sequence: number;
  /** RFC 3339, UTC, milliseconds. */
  createdAt: string;
  /** `key_…`, `root`, or `cli`. */
  actor: string;
  /** IP address that the request came from; null for the command line. */
  address: string | null;
  userAgent: string | null;
  action: Action;
  resourceId: string;
  changes: Changes;
  requestId: string;
  /** Of the entry before it in the chain, in hexadecimal digits; null for the first one. */
  previousHash: string | null;
  hash: string;
}

/** SHA-256 of the canonical JSON of all fields but `hash`, in hexadecimal digits (docs/reference/audit-log.md). */
export function entryHash(entry: Omit<AuditEntry, 'hash'> & { hash?: string }): string {
  return createHash('sha256')
    .update(canonicalJson({ ...entry, hash: undefined }))
    .digest('hex');
}
