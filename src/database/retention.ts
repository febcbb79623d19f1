import { Inject, Injectable } from '@nestjs/common';
import { NIL_UUID } from '../common/ids.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { joinPlan } from '../plans/plan-of-account.js';
import { Database } from './database.js';

/** Accounts, and events of one, that one statement looks at. */
const PAGE = 1_000;
/** Deliveries after which one statement removes no further event: some have gone to thousands of endpoints. */
const DELIVERIES = 10_000;

/** Removes events with their deliveries and attempts, and batches of which nothing is left, once their account's plan keeps them no longer. */
@Injectable()
export class Retention {
  constructor(
    private readonly database: Database,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
  ) {}

  /** @param isOver whether to leave off between two pages */
  async run(isOver: () => boolean = () => false): Promise<void> {
    let failure: Error | undefined;
    for (let after: string | null = NIL_UUID; after !== null && !isOver();) {
      const accounts: AccountRow[] = await this.database.query<AccountRow>(ACCOUNTS, [
        after,
        this.settings.DEFAULT_PLAN,
        this.settings.RETENTION_DAYS,
      ]);
      for (const { id, days, has_old: hasOld } of accounts) {
        if (!hasOld) continue;
        try {
          await this.removeOf(id, days, isOver);
        } catch (error) {
          // One whose events cannot be removed is not to keep everybody's.
          failure ??= error instanceof Error ? error : new Error(String(error));
        }
      }
      after = accounts.length < PAGE ? null : (accounts.at(-1)?.id ?? null);
    }
    while (!isOver() && (await this.dropWeek()));
    if (failure !== undefined) throw failure;
  }

  /** @returns whether there may be another of which nothing is left */
  private async dropWeek(): Promise<boolean> {
    const [row] = await this.database.query<{ again: boolean }>(
      'SELECT posthorn_drop_empty_partitions() AS again',
      [],
    );
    return row?.again === true;
  }

  private async removeOf(accountId: string, days: number, isOver: () => boolean): Promise<void> {
    for (const statement of [REMOVE, REMOVE_BATCHES]) {
      for (let after: string | null = NIL_UUID; after !== null && !isOver();) {
        const pages: PageRow[] = await this.database.query<PageRow>(statement, [accountId, days, after]);
        after = pages[0]?.last ?? null;
      }
    }
  }
}

interface AccountRow {
  id: string;
  days: number;
  has_old: boolean;
}

interface PageRow {
  /** The last that was looked at; null when there was none. */
  last: string | null;
}

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

const LAST_OF_PAGE = 'SELECT (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last';

/** Of `deliveries d`: nothing is to be sent, or told to a workflow. */
const IS_OVER = `(d.status NOT IN ('pending', 'retrying', 'held', 'batched') AND d.tell IS NULL)`;

/**
 * Whatever is still to be sent, or told to a workflow, is kept, however old. Somebody may want a delivery again at this very
 * moment: an event goes when each of its deliveries is over, and stays so while it is locked.
 */
const REMOVE = `
  WITH next AS (
    SELECT id, external_id, matched FROM events
    WHERE account_id = $1 AND id < ${idDaysAgo('$2::int')} AND id > $3 ORDER BY id LIMIT ${PAGE}
  ), page AS MATERIALIZED (
    SELECT id, external_id FROM (
      SELECT id, external_id, sum(matched) OVER (ORDER BY id) - matched AS deliveries_before FROM next
    ) n WHERE deliveries_before < ${DELIVERIES}
  ), ended AS MATERIALIZED (
    SELECT v.id, v.external_id, (SELECT count(*) FROM deliveries d WHERE d.event_id = v.id) AS deliveries
    FROM page v
    WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.event_id = v.id AND NOT ${IS_OVER})
      AND NOT EXISTS (SELECT FROM fanouts f WHERE f.event_id = v.id)
  ), locked AS MATERIALIZED (
    SELECT d.id, d.event_id FROM ended e JOIN deliveries d ON d.event_id = e.id WHERE ${IS_OVER}
    FOR UPDATE OF d SKIP LOCKED
  ), old AS MATERIALIZED (
    SELECT e.id, e.external_id FROM ended e
    LEFT JOIN (SELECT event_id, count(*) AS deliveries FROM locked GROUP BY event_id) l ON l.event_id = e.id
    WHERE e.deliveries = coalesce(l.deliveries, 0)
  ), gone AS (
    DELETE FROM deliveries d USING old WHERE d.event_id = old.id RETURNING d.id
  ), attempts_gone AS (
    DELETE FROM attempts a USING gone WHERE a.delivery_id = gone.id
  ), tokens_gone AS (
    DELETE FROM used_fetch_tokens t USING gone WHERE t.delivery_id = gone.id
  ), ids_gone AS (
    DELETE FROM event_external_ids x USING old
    WHERE x.account_id = $1 AND x.external_id = old.external_id AND x.event_id = old.id
  ), events_gone AS (
    DELETE FROM events v USING old WHERE v.id = old.id
  )
  ${LAST_OF_PAGE}`;

const REMOVE_BATCHES = `
  WITH page AS MATERIALIZED (
    SELECT id FROM batches WHERE account_id = $1 AND id < ${idDaysAgo('$2::int')} AND id > $3 ORDER BY id LIMIT ${PAGE}
  ), old AS MATERIALIZED (
    SELECT d.id FROM page b JOIN deliveries d ON d.id = b.id
    WHERE ${IS_OVER} AND NOT EXISTS (SELECT FROM deliveries i WHERE i.batch_id = b.id)
    FOR UPDATE OF d SKIP LOCKED
  ), gone AS (
    DELETE FROM deliveries d USING old WHERE d.id = old.id
  ), attempts_gone AS (
    DELETE FROM attempts a USING old WHERE a.delivery_id = old.id
  ), batches_gone AS (
    DELETE FROM batches b USING old WHERE b.id = old.id
  )
  ${LAST_OF_PAGE}`;
