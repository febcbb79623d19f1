import type pg from 'pg';
import { fromId, NIL_UUID, toId } from '../common/ids.js';
import type { Database } from '../database/database.js';
import { type ChainSource, checkChain, type Head, type Verdict } from './chain-check.js';
import type { AuditEntry } from './entry.js';
import { ENTRY_COLUMNS, type EntryRow, toEntry } from './entry-rows.js';

/** Of the operator's chain, in `audit_chains`. */
const OPERATOR = NIL_UUID;
const PAGE = 1_000;
/** One is the rule; more say that something was done to the chain. */
const MAX_SUCCESSORS = 100;

export interface ChainVerdict extends Verdict {
  /** `acc_…`; null for the operator's chain. */
  accountId: string | null;
}

/** The chains as they lie in the database. */
export class AuditChains {
  constructor(private readonly database: Database) {}

  /** UUIDs of the accounts that have one, null for the operator. */
  async *all(): AsyncGenerator<string | null> {
    yield null;
    for (let last: string | undefined = OPERATOR; last !== undefined;) {
      const rows: { next: string | null }[] = await this.database.query(
        `SELECT least(
           (SELECT chain FROM audit_chains WHERE chain > $1 ORDER BY chain LIMIT 1),
           (SELECT account_id FROM audit_log WHERE account_id > $1 ORDER BY account_id LIMIT 1)) AS next`,
        [last],
      );
      last = rows[0]?.next ?? undefined;
      if (last !== undefined) yield last;
    }
  }

  /**
   * Checks a chain from its first entry on, a page at a time. What is written meanwhile is left for the next time.
   *
   * @param account UUID, null for the operator
   */
  async check(account: string | null, kept: Head | null = null): Promise<ChainVerdict> {
    const verdict = await this.database.transaction(async (client) => {
      await client.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
      return checkChain(new StoredChain(client, account), kept);
    });
    return { accountId: account === null ? null : toId('account', account), ...verdict };
  }
}

class StoredChain implements ChainSource {
  private readonly ofChain: string;

  constructor(
    private readonly client: pg.PoolClient,
    private readonly account: string | null,
  ) {
    this.ofChain = account === null ? 'account_id IS NULL AND $1::uuid IS NULL' : 'account_id = $1';
  }

  async head(): Promise<Head | null> {
    const { rows } = await this.client.query<{ sequence: string; hash: Buffer | null }>(
      'SELECT sequence, hash FROM audit_chains WHERE chain = $1',
      [this.account ?? OPERATOR],
    );
    const [head] = rows;
    return head ? { sequence: Number(head.sequence), hash: head.hash?.toString('hex') ?? '' } : null;
  }

  after(entry: AuditEntry | null): Promise<readonly AuditEntry[]> {
    if (!entry) return this.entries('true', [], PAGE);
    // By id too: where somebody has dropped the constraint, two entries may have one number.
    return this.entries('(sequence, id) > ($2, $3)', [entry.sequence, fromId('audit', entry.id)], PAGE);
  }

  successorsOf(hash: string | null): Promise<readonly AuditEntry[]> {
    if (hash === null) return this.entries('previous_hash IS NULL', [], MAX_SUCCESSORS);
    return this.entries('previous_hash = $2', [Buffer.from(hash, 'hex')], MAX_SUCCESSORS);
  }

  private async entries(condition: string, values: unknown[], limit: number): Promise<AuditEntry[]> {
    const { rows } = await this.client.query<EntryRow>(
      `SELECT ${ENTRY_COLUMNS} FROM audit_log WHERE ${this.ofChain} AND ${condition}
        ORDER BY sequence, id LIMIT ${limit}`,
      [this.account, ...values],
    );
    return rows.map(toEntry);
  }
}
