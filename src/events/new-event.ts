import type { Priority } from '../common/priority.js';
import type { Verdict } from '../filters/verdict.js';
import type { Published } from './events.schema.js';

/** One event on its way into the database. */
export interface NewEvent {
  /** UUIDv7, where it has one already; it is published once under it. */
  id?: string;
  accountId: string;
  externalId: string | null;
  type: string;
  /** RFC 3339, or null for the moment of publishing. */
  timestamp: string | null;
  version: string;
  tags: string[];
  priority: Priority | null;
  /** JSON text as the publisher sent it. */
  data: string;
}

/** An event with what its account's filters say of it; without, where they are not known to be any. */
export type JudgedEvent = NewEvent & { verdict?: Verdict };

/**
 * `stale`: nothing of it was written, since what it was judged by has changed, its account's filters or the earlier event of its
 * external id. Null: there is no such account.
 */
export type Result = Published | 'stale' | null;

/** All that is published together is of one account. */
export const ownerOf = ([event]: NewEvent[]): string => event?.accountId ?? '';

export const sizeOf = (events: NewEvent[]): number => events.reduce((sum, { data }) => sum + data.length, 0);
