import { MicroBatch } from '../common/micro-batch.js';
import type { Database } from '../database/database.js';

/** Endpoints from which an account is wide. */
const WIDE_FROM = 1_000;
const KNOWN_FOR_MS = 60_000;
/** Accounts that are remembered. */
const MOST = 50_000;

/**
 * Accounts with so many endpoints that a publish takes long, even where hardly any of them wants the event: its type is
 * compared with each.
 */
export class WideAccounts {
  private known = new Map<string, { isWide: boolean; untilMs: number }>();
  private readonly lookups: MicroBatch<string, undefined>;

  constructor(private readonly database: Database) {
    this.lookups = new MicroBatch((ids) => this.lookUp(ids), { maxItems: 200, concurrency: 1 });
  }

  /** As far as is known: what is not is looked up meanwhile, and nobody waits for it. @param accountId UUID */
  has(accountId: string): boolean {
    const now = Date.now();
    const known = this.known.get(accountId);
    if (known && now < known.untilMs) return known.isWide;
    const isWide = known?.isWide ?? false;
    if (this.known.size >= MOST) this.known.clear();
    this.known.set(accountId, { isWide, untilMs: now + KNOWN_FOR_MS });
    // Who could not be looked up is, some other time.
    this.lookups.add(accountId).catch(() => this.known.delete(accountId));
    return isWide;
  }

  drained(): Promise<void> {
    return this.lookups.drained();
  }

  private async lookUp(ids: string[]): Promise<undefined[]> {
    const rows = await this.database.prepared<{ id: string; wide: boolean }>('wide_accounts', WIDE, [ids]);
    for (const { id, wide } of rows) this.known.set(id, { isWide: wide, untilMs: Date.now() + KNOWN_FOR_MS });
    return ids.map(() => undefined);
  }
}

const WIDE = `
  SELECT a.id, (
    SELECT count(*) FROM (SELECT FROM endpoints e WHERE e.account_id = a.id AND e.deleted_at IS NULL LIMIT ${WIDE_FROM}) n
  ) >= ${WIDE_FROM} AS wide
  FROM unnest($1::uuid[]) AS a (id)`;
