import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { notFound, Problem } from '../common/problems.js';
import { steadyMs } from '../common/steady-clock.js';
import { Database, isUnavailable } from '../database/database.js';
import { LOGGER } from '../logging/logger.js';
import { Metrics } from '../metrics/metrics.js';
import { Allowance, type Ask, type Grant, HOLD_MS, type PublishLimits, type Verdict } from './allowance.js';
import { isNear, LimitWarnings } from './limit-warnings.js';
import { beyond, type Plan } from './plan.js';
import type { PlanLimits } from './plans.schema.js';
import { rateLimitFields } from './rate-limit-fields.js';

const IDLE_MS = 60_000;

interface Waiting {
  count: number;
  decide: (verdict: Verdict) => void;
  fail: (error: unknown) => void;
}

interface Held {
  allowance: Allowance;
  waiting: Waiting[];
  isAsking: boolean;
  hasRow: boolean;
  usedAtMs: number;
  /** The day on which the account was told that it comes near its quota. */
  warnedOn: string | null;
}

/**
 * What accounts may publish, handed out to all processes by one row in PostgreSQL for each account: a token bucket with
 * leases, and a count of the day. A process takes what is asked of it and what it is likely to be asked for next, and
 * returns what it did not need.
 */
@Injectable()
export class PublishAllowances {
  private readonly accounts = new Map<string, Held>();
  private readonly warnings = new Set<Promise<void>>();
  private returning: Promise<unknown> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly database: Database,
    private readonly limitWarnings: LimitWarnings,
    private readonly metrics: Metrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  open(): void {
    this.timer = setInterval(() => {
      this.returning = this.returning.then(() => this.returnUnused(steadyMs()));
    }, HOLD_MS).unref();
  }

  /** Returns what nobody will need. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.returning;
    const nowMs = steadyMs();
    for (const { allowance } of this.accounts.values()) allowance.release(nowMs);
    await this.returnUnused(nowMs);
    await Promise.all(this.warnings);
  }

  /**
   * Lets so many events be published.
   *
   * @returns the fields of the answer that tell of the limits
   * @throws Problem `publish_rate_exceeded`, `daily_quota_exceeded`; `plan_limit_exceeded` for more at once than ever
   *   can be; `not_found` for an unknown account
   */
  async take(plan: Plan, accountId: string, count: number): Promise<Record<string, string>> {
    const limits = publishLimitsOf(plan.limits);
    this.refuseImpossible(plan, limits, count);
    const held = this.heldBy(accountId, limits);
    held.usedAtMs = steadyMs();
    let verdict = held.allowance.take(count, held.usedAtMs);
    if (verdict.kind === 'ask') {
      verdict = await new Promise<Verdict>((decide, fail) => {
        held.waiting.push({ count, decide, fail });
        if (!held.isAsking) void this.askFor(accountId, held, plan, limits);
      });
    }
    const left = held.allowance.left(steadyMs());
    const fields = left ? rateLimitFields(limits, left) : {};
    if (verdict.kind === 'refused') throw this.refusal(plan, verdict, fields);
    return fields;
  }

  /** What was taken and then not published. @param takenAtMs by {@link steadyMs} */
  giveBack(accountId: string, count: number, takenAtMs: number): void {
    this.accounts.get(accountId)?.allowance.giveBack(count, takenAtMs, steadyMs());
  }

  private heldBy(accountId: string, limits: PublishLimits): Held {
    let held = this.accounts.get(accountId);
    if (!held) {
      const allowance = new Allowance(limits);
      held = { allowance, waiting: [], isAsking: false, hasRow: false, usedAtMs: 0, warnedOn: null };
      this.accounts.set(accountId, held);
    }
    held.allowance.learn(limits);
    return held;
  }

  /** One ask at a time: those that come meanwhile are in the next. */
  private async askFor(accountId: string, held: Held, plan: Plan, limits: PublishLimits): Promise<void> {
    held.isAsking = true;
    // A tick lets the publishes of one turn of the loop come together.
    await new Promise((resolve) => setImmediate(resolve));
    while (held.waiting.length > 0) {
      const asking = held.waiting.splice(0).filter(({ count, decide }) => {
        // The answer to the latest ask may hold for them too.
        const verdict = held.allowance.take(count, steadyMs());
        if (verdict.kind !== 'ask') decide(verdict);
        return verdict.kind === 'ask';
      });
      if (asking.length === 0) break;
      const wanted = asking.reduce((sum, { count }) => sum + count, 0);
      try {
        const grant = await this.ask(accountId, held, limits, wanted);
        for (const { count, decide } of asking) decide(held.allowance.take(count, steadyMs(), true));
        this.watchDay(accountId, held, plan, grant);
      } catch (error) {
        for (const { fail } of asking) fail(error);
      }
    }
    held.isAsking = false;
  }

  private async ask(accountId: string, held: Held, limits: PublishLimits, wanted: number): Promise<Grant> {
    const { allowance } = held;
    const askedAtMs = steadyMs();
    const { day } = allowance;
    const ask = allowance.ask(wanted, askedAtMs);
    try {
      if (!held.hasRow) await this.database.prepared('make_allowance', MAKE, [accountId]);
      held.hasRow = true;
      const grant = await this.request(accountId, limits, ask, day);
      if (!grant) throw notFound('account');
      allowance.answered(ask, grant, askedAtMs);
      return grant;
    } catch (error) {
      allowance.failed(ask, askedAtMs, steadyMs());
      throw error;
    }
  }

  private async request(
    accountId: string,
    { perSecond, burst, perDay }: PublishLimits,
    { needed, extra, returned, unpaid }: Ask,
    day: string | null,
  ): Promise<Grant | undefined> {
    const [row] = await this.database.prepared<GrantRow>('take_allowance', TAKE, [
      accountId,
      perSecond,
      burst,
      perDay,
      needed,
      extra,
      returned,
      day,
      unpaid,
    ]);
    return row && { ...row, dayLeftMs: row.day_left_ms };
  }

  private async returnUnused(nowMs: number): Promise<void> {
    for (const [accountId, held] of this.accounts) {
      const { allowance } = held;
      if (held.isAsking) continue;
      if (allowance.owes(nowMs)) {
        const { day } = allowance;
        const ask = allowance.ask(0, nowMs);
        await this.database
          .prepared('return_allowance', RETURN, [accountId, ask.returned, day, ask.unpaid])
          .catch((error: unknown) => {
            allowance.failed(ask, nowMs, steadyMs());
            if (!isUnavailable(error)) this.logger.error({ err: error }, 'an allowance was not returned');
          });
      } else if (held.usedAtMs < nowMs - IDLE_MS) this.accounts.delete(accountId);
    }
  }

  private watchDay(accountId: string, held: Held, plan: Plan, { used, day }: Grant): void {
    const allowed = plan.limits.eventsPerDay;
    if (allowed === null || held.warnedOn === day || !isNear(used, allowed)) return;
    held.warnedOn = day;
    const warning = this.limitWarnings
      .warn({ accountId, plan, limit: 'eventsPerDay', used, allowed })
      .catch((error: unknown) => {
        held.warnedOn = null;
        if (!isUnavailable(error))
          this.logger.error({ err: error }, 'an account was not warned of its limit');
      })
      .finally(() => this.warnings.delete(warning));
    this.warnings.add(warning);
  }

  private refuseImpossible(plan: Plan, { perSecond, burst, perDay }: PublishLimits, count: number): void {
    const [limit, most] =
      perSecond !== null && count > burst
        ? (['publishBurst', burst] as const)
        : perDay !== null && count > perDay
          ? (['eventsPerDay', perDay] as const)
          : [];
    if (limit === undefined) return;
    this.metrics.publishRefused(limit);
    throw beyond(plan, limit, '/events', `${most} events at once`);
  }

  private refusal(
    plan: Plan,
    { by, retryMs }: Extract<Verdict, { kind: 'refused' }>,
    headers: Record<string, string>,
  ): Problem {
    this.metrics.publishRefused(by);
    const isDay = by === 'eventsPerDay';
    const allowed = `${plan.limits[by] ?? 0} events ${isDay ? 'a day' : 'a second'}`;
    return new Problem(
      isDay ? 'daily_quota_exceeded' : 'publish_rate_exceeded',
      `The plan \`${plan.name}\` allows ${allowed} (\`${by}\`).`,
      {
        headers,
        limit: { name: by, plan: plan.name },
        retryAfterSeconds: Math.max(1, Math.ceil(retryMs / 1000)),
      },
    );
  }
}

export const limitsPublishing = ({ publishPerSecond, eventsPerDay }: PlanLimits): boolean =>
  publishPerSecond !== null || eventsPerDay !== null;

const publishLimitsOf = ({ publishPerSecond, publishBurst, eventsPerDay }: PlanLimits): PublishLimits => ({
  perSecond: publishPerSecond,
  burst: publishBurst ?? publishPerSecond ?? 0,
  perDay: eventsPerDay,
});

interface GrantRow {
  granted: number;
  debt: number;
  used: number;
  day: string;
  day_left_ms: number;
}

const MAKE = `
  INSERT INTO publish_allowances (account_id) SELECT id FROM accounts WHERE id = $1 ON CONFLICT DO NOTHING`;

const TODAY = `(now() AT TIME ZONE 'UTC')::date`;

/** Further than this no clock is ahead of another's: what is later was written before PostgreSQL's was set back. */
const MOST_AHEAD = `interval '15 seconds'`;

/** The row as it is now, with what was returned. A clock that is behind another's never begins a day anew. */
const NOW = (rate: string, returned: string, day: string, unpaid: string): string => `
  SELECT account_id,
    greatest(0, debt - coalesce(${rate}::float8, 0) * greatest(0, extract(epoch FROM now() - counted_at)::float8)
      - ${unpaid}::float8) AS debt,
    CASE WHEN counted_at > now() + ${MOST_AHEAD} THEN now() ELSE greatest(counted_at, now()) END AS counted_at,
    CASE WHEN day > ((now() + ${MOST_AHEAD}) AT TIME ZONE 'UTC')::date THEN ${TODAY} ELSE greatest(day, ${TODAY}) END AS day,
    CASE WHEN day < ${TODAY} THEN 0
      ELSE greatest(0, used - CASE WHEN day = ${day}::date THEN ${returned}::int ELSE 0 END) END AS used
  FROM publish_allowances WHERE account_id = $1 FOR UPDATE`;

/**
 * Grants what is needed as far as there is room, and of the rest at most half beside it: the nearer the limit, the less is
 * handed out ahead.
 */
const TAKE = `
  WITH current AS (${NOW('$2', '$7', '$8', '$9')}), roomy AS (
    SELECT *, greatest(0, least(floor(CASE WHEN $2::float8 IS NOT NULL THEN $3::int - debt END), $4::float8 - used)) AS room
    FROM current
  ), share AS (
    SELECT *, CASE WHEN room <= $5::int THEN room ELSE $5 + least($6::int, floor((room - $5) / 2)) END AS granted
    FROM roomy
  )
  UPDATE publish_allowances p SET debt = CASE WHEN $2 IS NULL THEN 0 ELSE s.debt + s.granted END,
    counted_at = s.counted_at, day = s.day, used = s.used + s.granted
  FROM share s WHERE p.account_id = s.account_id
  RETURNING s.granted::int AS granted, p.debt, p.used::float8 AS used, p.day::text AS day,
    (extract(epoch FROM (p.day + 1)::timestamp - (now() AT TIME ZONE 'UTC')) * 1000)::float8 AS day_left_ms`;

const RETURN = `
  UPDATE publish_allowances SET debt = greatest(0, debt - $4::float8),
    used = CASE WHEN day = $3::date THEN greatest(0, used - $2::int) ELSE used END
  WHERE account_id = $1`;
