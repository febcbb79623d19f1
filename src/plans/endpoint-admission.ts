import { Inject, Injectable } from '@nestjs/common';
import type pg from 'pg';
import { Problem } from '../common/problems.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import type { Verification } from '../verification/judge.js';
import { AccountPlans } from './account-plans.js';
import { isNear, LimitWarnings } from './limit-warnings.js';
import { checkWishes, type Plan, type Wishes } from './plan.js';
import { planOfAccount } from './plan-of-account.js';

/** What accounts' plans let them have of endpoints. */
@Injectable()
export class EndpointAdmission {
  constructor(
    private readonly plans: AccountPlans,
    private readonly warnings: LimitWarnings,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
  ) {}

  /**
   * Locks the account, so that endpoints that are made at once are counted one after the other.
   *
   * @returns what to call once the endpoint is committed
   * @throws Problem `not_found`, `plan_limit_exceeded`, `endpoint_limit_reached`
   */
  async admitNew(client: pg.PoolClient, accountId: string, wishes: Wishes): Promise<() => void> {
    const plan = await this.admitChange(client, accountId, wishes);
    const allowed = plan.limits.endpoints;
    if (allowed === null) return () => undefined;
    await client.query('SELECT 1 FROM accounts WHERE id = $1 FOR NO KEY UPDATE', [accountId]);
    const { rows } = await client.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM endpoints WHERE account_id = $1 AND deleted_at IS NULL',
      [accountId],
    );
    const used = (rows[0]?.count ?? 0) + 1;
    if (used > allowed) {
      throw new Problem(
        'endpoint_limit_reached',
        `The plan \`${plan.name}\` allows ${allowed} endpoints (\`endpoints\`).`,
        { limit: { name: 'endpoints', plan: plan.name } },
      );
    }
    if (!isNear(used, allowed)) return () => undefined;
    const isNews = await this.warnings.add(client, { accountId, plan, limit: 'endpoints', used, allowed });
    return () => {
      if (isNews) void this.warnings.wake(accountId);
    };
  }

  /** How an endpoint is verified that says nothing of it: the first way that deployment and plan allow. */
  async verification(accountId: string): Promise<Verification> {
    const { limits } = this.plans.known(accountId) ?? (await this.plans.load(accountId));
    const { VERIFICATION: allowed } = this.settings;
    const isOfPlan = (way: Verification) => limits.verification?.includes(way) ?? true;
    return allowed.find(isOfPlan) ?? allowed[0] ?? 'none';
  }

  /** @throws Problem `not_found`, `plan_limit_exceeded` */
  async admitChange(client: pg.PoolClient, accountId: string, wishes: Wishes): Promise<Plan> {
    const plan = await planOfAccount(client, accountId, this.plans.fallback);
    checkWishes(plan, wishes);
    return plan;
  }
}
