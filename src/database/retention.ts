import { Inject, Injectable } from '@nestjs/common';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { joinPlan } from '../plans/plan-of-account.js';
import { Database } from './database.js';

/** Accounts that one statement looks at, and events that one removes. */
const PAGE = 1_000;

/** Removes events with their deliveries and attempts, and batches of which nothing is left, once their account's plan keeps them no longer. */
@Injectable()
export class Retention {
  constructor(
    private readonly database: Database,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
  ) {}

  /** @param isOver whether to leave off between two pages */
  async run(isOver: () => boolean = () => false): Promise<void> {
    for (let after: string | null = NO_ACCOUNT; after !== null && !isOver();) {
      const accounts: AccountRow[] = await this.database.query<AccountRow>(ACCOUNTS, [
        after,
        this.settings.DEFAULT_PLAN,
        this.settings.RETENTION_DAYS,
      ]);
      for (const { id, days, has_old: hasOld } of accounts) if (hasOld) await this.removeOf(id, days, isOver);
      after = accounts.length < PAGE ? null : (accounts.at(-1)?.id ?? null);
    }
    await this.database.query('SELECT posthorn_drop_empty_partitions()', []);
  }

  private async removeOf(accountId: string, days: number, isOver: () => boolean): Promise<void> {
    for (const statement of [REMOVE, REMOVE_BATCHES])
      for (let removed = PAGE; removed === PAGE && !isOver();)
        removed = (await this.database.query(statement, [accountId, days])).length;
  }
}

interface AccountRow {
  id: string;
  days: number;
  has_old: boolean;
}

const NO_ACCOUNT = '00000000-0000-0000-0000-000000000000';

/** The first id of the moment so many days ago (RFC 9562, UUIDv7: 48 bits of unix milliseconds first). */
const idDaysAgo = (days: string): string =>
  `(lpad(to_hex(floor(extract(epoch FROM now() - ${days} * interval '1 day') * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid`;

const ACCOUNTS = `
  SELECT k.id, k.days, k.days > 0 AND (
    EXISTS (SELECT FROM events v WHERE v.account_id = k.id AND v.id < ${idDaysAgo('k.days')})
    OR EXISTS (SELECT FROM batches b WHERE b.account_id = k.id AND b.id < ${idDaysAgo('k.days')})) AS has_old
  FROM (
    SELECT a.id, coalesce((plan.limits ->> 'retentionDays')::int, $3) AS days
    FROM accounts a ${joinPlan('$2')} WHERE a.id > $1 ORDER BY a.id LIMIT ${PAGE}
  ) k ORDER BY k.id`;

/** Whatever is still to be sent, or told to a workflow, is kept, however old. */
const REMOVE = `
  WITH old AS MATERIALIZED (
    SELECT v.id, v.external_id FROM events v
    WHERE v.account_id = $1 AND v.id < ${idDaysAgo('$2::int')}
      AND NOT EXISTS (SELECT FROM deliveries d WHERE d.event_id = v.id
        AND (d.status IN ('pending', 'retrying', 'held', 'batched') OR d.tell IS NOT NULL))
      AND NOT EXISTS (SELECT FROM fanouts f WHERE f.event_id = v.id)
    ORDER BY v.id LIMIT ${PAGE}
  ), gone AS (
    DELETE FROM deliveries d USING old WHERE d.event_id = old.id RETURNING d.id
  ), attempts_gone AS (
    DELETE FROM attempts a USING gone WHERE a.delivery_id = gone.id
  ), tokens_gone AS (
    DELETE FROM used_fetch_tokens t USING gone WHERE t.delivery_id = gone.id
  ), ids_gone AS (
    DELETE FROM event_external_ids x USING old
    WHERE x.account_id = $1 AND x.external_id = old.external_id AND x.event_id = old.id
  )
  DELETE FROM events v USING old WHERE v.id = old.id RETURNING v.id`;

const REMOVE_BATCHES = `
  WITH old AS MATERIALIZED (
    SELECT b.id FROM batches b JOIN deliveries d ON d.id = b.id
    WHERE b.account_id = $1 AND b.id < ${idDaysAgo('$2::int')}
      AND d.status NOT IN ('pending', 'retrying', 'held') AND d.tell IS NULL
      AND NOT EXISTS (SELECT FROM deliveries i WHERE i.batch_id = b.id)
    ORDER BY b.id LIMIT ${PAGE}
  ), gone AS (
    DELETE FROM deliveries d USING old WHERE d.id = old.id
  ), attempts_gone AS (
    DELETE FROM attempts a USING old WHERE a.delivery_id = old.id
  )
  DELETE FROM batches b USING old WHERE b.id = old.id RETURNING b.id`;
