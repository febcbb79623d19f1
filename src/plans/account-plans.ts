import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { MicroBatch } from '../common/micro-batch.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Database } from '../database/database.js';
import { KeptFresh } from '../database/kept-fresh.js';
import { LOGGER } from '../logging/logger.js';
import { limitsFrom, NO_LIMITS, type Plan } from './plan.js';
import type { PlanLimits } from './plans.schema.js';

interface Entry {
  plan: string | null;
  /** Whether anybody asked since the latest refresh. */
  used: boolean;
}

/**
 * The plans of the accounts that are active in this process, kept in memory: what every publish and every attempt asks for
 * costs no statement. Where all accounts have the default plan nothing is kept of any.
 */
@Injectable()
export class AccountPlans {
  readonly fallback: string;
  private plans = new Map<string, Plan>();
  /** What all have; null where some account has another plan. */
  private everyones: Plan | null = null;
  private readonly entries = new Map<string, Entry>();
  private readonly lookups: MicroBatch<string, Plan>;
  private readonly fresh: KeptFresh;
  private isRead = false;

  constructor(
    private readonly database: Database,
    @Inject(SETTINGS_TOKEN) settings: Settings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.fallback = settings.DEFAULT_PLAN;
    this.fresh = new KeptFresh(() => this.read(), 'the plans', logger);
    this.lookups = new MicroBatch((ids) => this.lookUp(ids), { maxItems: 200, concurrency: 2 });
  }

  async open(): Promise<void> {
    await this.fresh.open();
    if (!this.plans.has(this.fallback))
      this.logger.error({ plan: this.fallback }, 'the plan of POSTHORN_DEFAULT_PLAN does not exist');
  }

  async close(): Promise<void> {
    await this.fresh.close();
    await this.lookups.drained();
  }

  /** @returns undefined where it must be {@link load}ed first */
  known(accountId: string): Plan | undefined {
    if (this.everyones) return this.everyones;
    const entry = this.entries.get(accountId);
    if (!entry) return undefined;
    entry.used = true;
    return this.planCalled(entry.plan);
  }

  /** An account that does not exist has the default plan. @param accountId UUID */
  load(accountId: string): Promise<Plan> {
    return this.lookups.add(accountId);
  }

  /** Reads again what may have changed: at once in this process, for whoever has changed it. */
  refresh(): Promise<void> {
    return this.fresh.refresh();
  }

  private async read(): Promise<void> {
    const active: string[] = [];
    for (const [id, entry] of this.entries) {
      if (entry.used) active.push(id);
      else this.entries.delete(id);
      entry.used = false;
    }
    const [row] = await this.database.prepared<ReadRow>('read_plans', READ, [this.fallback, active]);
    if (!row) throw new Error('the plans were not answered');
    this.plans = new Map(
      Object.entries(row.plans ?? {}).map(([name, limits]) => [name, { name, limits: limitsFrom(limits) }]),
    );
    this.isRead = true;
    this.everyones = row.others ? null : this.planCalled(null);
    if (this.everyones) this.entries.clear();
    for (const id of active) {
      const entry = this.entries.get(id);
      if (entry) entry.plan = row.accounts?.[id] ?? null;
    }
  }

  private async lookUp(ids: string[]): Promise<Plan[]> {
    if (!this.isRead) await this.refresh();
    const rows = await this.database.prepared<{ id: string; plan: string | null }>(
      'account_plans',
      'SELECT id, plan FROM accounts WHERE id = ANY ($1::uuid[])',
      [ids],
    );
    for (const { id, plan } of rows) this.entries.set(id, { plan, used: true });
    const found = new Map(rows.map(({ id, plan }) => [id, plan]));
    return ids.map((id) => this.planCalled(found.get(id) ?? null));
  }

  private planCalled(name: string | null): Plan {
    return (
      (name === null ? undefined : this.plans.get(name)) ??
      this.plans.get(this.fallback) ?? { name: this.fallback, limits: NO_LIMITS }
    );
  }
}

interface ReadRow {
  plans: Record<string, Partial<PlanLimits>> | null;
  /** Whether any account has a plan that is not the default one. */
  others: boolean;
  accounts: Record<string, string | null> | null;
}

const READ = `
  SELECT (SELECT json_object_agg(name, limits) FROM plans) AS plans,
    EXISTS (SELECT FROM plans p WHERE p.name <> $1 AND EXISTS (SELECT FROM accounts a WHERE a.plan = p.name)) AS others,
    (SELECT json_object_agg(id, plan) FROM accounts WHERE id = ANY ($2::uuid[])) AS accounts`;
