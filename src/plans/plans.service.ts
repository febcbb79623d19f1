import { Injectable } from '@nestjs/common';
import type pg from 'pg';
import type { Action } from '../audit/actions.js';
import { AuditService } from '../audit/audit.service.js';
import { changesBetween } from '../audit/changes.js';
import type { Caller } from '../auth/caller.js';
import type { Page } from '../common/cursor.js';
import { notFound, Problem } from '../common/problems.js';
import type { ListQuery } from '../common/schemas.js';
import { Database } from '../database/database.js';
import { namedPage } from '../database/named-page.js';
import { AccountPlans } from './account-plans.js';
import { reviewHealthOf } from './health-reviews.js';
import { limitsFrom } from './plan.js';
import { joinPlan, planFrom, type PlanRow } from './plan-of-account.js';
import {
  type AccountLimitsShown,
  type CreatePlanBody,
  PLAN_NAME,
  type PlanLimits,
  planName,
  type PlanShown,
  type UpdatePlanBody,
} from './plans.schema.js';

/** What the provider lets its accounts have. */
@Injectable()
export class PlansService {
  constructor(
    private readonly database: Database,
    private readonly accountPlans: AccountPlans,
    private readonly audit: AuditService,
  ) {}

  /** @throws Problem `plan_exists` */
  async create(caller: Caller, body: CreatePlanBody): Promise<PlanShown> {
    const row = await this.change(async (client) => {
      const { rows } = await client.query<StoredRow>(
        `INSERT INTO plans (name, limits) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING ${COLUMNS}`,
        [body.name, JSON.stringify(body.limits ?? {})],
      );
      const [made] = rows;
      if (!made) throw new Problem('plan_exists', `There is a plan \`${body.name}\` already.`);
      // Accounts may have named it before it was there.
      await reviewHealthOf(client, { plan: body.name, fallback: this.accountPlans.fallback });
      await this.record(client, caller, 'plan.create', made.name, null, made);
      return made;
    });
    return show(row);
  }

  list(_caller: Caller, query: ListQuery): Promise<Page<PlanShown>> {
    const select = `SELECT ${COLUMNS} FROM plans`;
    return namedPage(this.database, { list: 'plans', select, form: PLAN_NAME, show }, query);
  }

  async get(_caller: Caller, name: string): Promise<PlanShown> {
    const [row] = await this.database.prepared<StoredRow>(
      'get_plan',
      `SELECT ${COLUMNS} FROM plans WHERE name = $1`,
      [readName(name)],
    );
    if (!row) throw notFound('plan');
    return show(row);
  }

  async update(caller: Caller, name: string, body: UpdatePlanBody): Promise<PlanShown> {
    readName(name);
    const row = await this.change(async (client) => {
      const before = await client.query<StoredRow>(
        `SELECT ${COLUMNS} FROM plans WHERE name = $1 FOR UPDATE`,
        [name],
      );
      const [stored] = before.rows;
      if (!stored) throw notFound('plan');
      const after = await client.query<StoredRow>(
        `UPDATE plans SET limits = $2, updated_at = now() WHERE name = $1 RETURNING ${COLUMNS}`,
        [name, JSON.stringify({ ...stored.limits, ...body.limits })],
      );
      await reviewHealthOf(client, { plan: name, fallback: this.accountPlans.fallback });
      const [updated] = after.rows;
      if (!updated) throw new Error('an update returned no row');
      await this.record(client, caller, 'plan.update', name, stored, updated);
      return updated;
    });
    return show(row);
  }

  /** @throws Problem `plan_in_use` while an account has it, or accounts that have none get it */
  async delete(caller: Caller, name: string): Promise<void> {
    readName(name);
    await this.change(async (client) => {
      const locked = await client.query<StoredRow>(
        `SELECT ${COLUMNS} FROM plans WHERE name = $1 FOR UPDATE`,
        [name],
      );
      const [stored] = locked.rows;
      if (!stored) throw notFound('plan');
      const used = await client.query('SELECT 1 FROM accounts WHERE plan = $1 LIMIT 1', [name]);
      if (used.rowCount !== 0) throw new Problem('plan_in_use', `Accounts have the plan \`${name}\`.`);
      if (name === this.accountPlans.fallback)
        throw new Problem('plan_in_use', `\`${name}\` is the plan of POSTHORN_DEFAULT_PLAN.`);
      await client.query('DELETE FROM plans WHERE name = $1', [name]);
      await this.record(client, caller, 'plan.delete', name, stored, null);
    });
  }

  async limitsOf(_caller: Caller, accountId: string): Promise<AccountLimitsShown> {
    const { fallback } = this.accountPlans;
    const [row] = await this.database.prepared<PlanRow & { endpoints: number; used: number }>(
      'account_limits',
      `SELECT plan.name, plan.limits,
         (SELECT count(*)::int FROM endpoints WHERE account_id = a.id AND deleted_at IS NULL) AS endpoints,
         CASE WHEN p.day = (now() AT TIME ZONE 'UTC')::date THEN p.used::float8 ELSE 0 END AS used
        FROM accounts a LEFT JOIN publish_allowances p ON p.account_id = a.id ${joinPlan('$2')} WHERE a.id = $1`,
      [accountId, fallback],
    );
    if (!row) throw notFound('account');
    const { name: plan, limits } = planFrom(row, fallback);
    const isCounted = limits.publishPerSecond !== null || limits.eventsPerDay !== null;
    return {
      plan,
      limits,
      usage: { endpoints: row.endpoints, eventsToday: isCounted ? row.used : null },
    };
  }

  private record(
    client: pg.PoolClient,
    caller: Caller,
    action: Action,
    name: string,
    before: StoredRow | null,
    after: StoredRow | null,
  ): Promise<void> {
    const changes = changesBetween(before && limitsFrom(before.limits), after && limitsFrom(after.limits));
    return this.audit.record(client, caller, { accountId: null, action, resourceId: name, changes });
  }

  private async change<Result>(work: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
    const result = await this.database.transaction(work);
    await this.accountPlans.refresh();
    return result;
  }
}

const COLUMNS = 'name, limits, created_at, updated_at';

interface StoredRow {
  name: string;
  limits: Partial<PlanLimits>;
  created_at: Date;
  updated_at: Date;
}

/** A name that no plan may have is not found, and PostgreSQL is not asked for what its text cannot hold. */
function readName(name: string): string {
  if (!planName.safeParse(name).success) throw notFound('plan');
  return name;
}

const show = (row: StoredRow): PlanShown => ({
  name: row.name,
  limits: limitsFrom(row.limits),
  createdAt: row.created_at.toISOString(),
  updatedAt: row.updated_at.toISOString(),
});
