import type pg from 'pg';
import { notFound } from '../common/problems.js';
import { limitsFrom, type Plan } from './plan.js';
import type { PlanLimits } from './plans.schema.js';

/**
 * The plan of `accounts a` as `plan.name` and `plan.limits`: its own, where there is one of that name, else the default.
 *
 * @param fallback place of the default plan's name in the statement
 */
export const joinPlan = (fallback: string): string => `LEFT JOIN LATERAL (
  SELECT name, limits FROM plans WHERE name IN (a.plan, ${fallback}) ORDER BY name = a.plan DESC NULLS LAST LIMIT 1
) plan ON true`;

/**
 * The account's plan, and a lock that keeps the account.
 *
 * @throws Problem `not_found`
 */
export async function planOfAccount(
  client: pg.PoolClient,
  accountId: string,
  fallback: string,
): Promise<Plan> {
  const { rows } = await client.query<PlanRow>(
    `SELECT plan.name, plan.limits FROM accounts a ${joinPlan('$2')} WHERE a.id = $1 FOR KEY SHARE OF a`,
    [accountId, fallback],
  );
  const [row] = rows;
  if (!row) throw notFound('account');
  return planFrom(row, fallback);
}

export interface PlanRow {
  name: string | null;
  limits: Partial<PlanLimits> | null;
}

/** A default plan that does not exist limits nothing. */
export const planFrom = ({ name, limits }: PlanRow, fallback: string): Plan => ({
  name: name ?? fallback,
  limits: limitsFrom(limits ?? {}),
});
