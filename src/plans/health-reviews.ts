import type pg from 'pg';

/** Long enough ago that whoever looks for late reviews has the endpoint looked at in its next round. */
const LATE = `now() - interval '1 hour'`;

/**
 * The thresholds of endpoints in trouble may have changed: when they are to be looked at next was reckoned by the old ones.
 *
 * @param of all accounts that have the plan, or may have it as the default one; or one account
 */
export async function reviewHealthOf(
  client: pg.PoolClient,
  of: { plan: string; fallback: string } | { accountId: string },
): Promise<void> {
  const [condition, values] =
    'accountId' in of
      ? ['a.id = $1', [of.accountId]]
      : of.plan === of.fallback
        ? [`a.plan = $1 OR NOT EXISTS (SELECT FROM plans WHERE name = a.plan)`, [of.plan]]
        : ['a.plan = $1', [of.plan]];
  await client.query(
    `UPDATE endpoint_health SET review_at = ${LATE} WHERE review_at IS NOT NULL AND endpoint_id IN (
       SELECT h.endpoint_id FROM endpoint_health h JOIN endpoints e ON e.id = h.endpoint_id
       JOIN accounts a ON a.id = e.account_id WHERE h.review_at IS NOT NULL AND (${condition})
       ORDER BY h.endpoint_id FOR UPDATE OF h)`,
    values,
  );
}
