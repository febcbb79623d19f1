import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import type { Decision } from '../../workflows/schedule.js';
import type { AttemptSummary } from '../../workflows/contracts.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Rounds } from '../common/rounds.js';
import { Database, isUnavailable } from '../database/database.js';
import { LOGGER } from '../logging/logger.js';
import { NotificationsService } from '../notifications/notifications.service.js';
import { EndpointWatches } from '../temporal/endpoint-watches.js';
import { AccountPlans } from '../plans/account-plans.js';
import { bucketOf, UPPER_BOUNDS_MS } from './duration-histogram.js';
import { EndpointHealthService } from './endpoint-health.service.js';
import { circuitOpensAt } from './health-machine.js';
import { CIRCUIT_DELIVERIES, healthPolicyOf } from './health-policy.js';
import { ADD_STATS, recentAttemptsOf } from './stats-tables.js';

const HEALTH_EVERY_MS = 1_000;
const STATS_EVERY_MS = 5_000;
/** Endpoints of one statement. */
const PAGE = 500;
/** Watches begin one by one: an outage of many endpoints is not to take the engine from deliveries, and nothing is due for a while. */
const BEGINS_APART_MS = 100;

/** What came of the attempts at an endpoint since the last write. */
interface Tally {
  succeeded: boolean;
  /** Since the latest success. */
  failures: number;
  /** Different ones among those failures, as many as matter. */
  deliveries: string[];
  firstFailureAtMs: number;
  lastFailureAtMs: number;
  error: string | null;
  exhausted: number;
}

interface Stats {
  attempts: number;
  delivered: number;
  durations: number[];
}

/**
 * Counts what attempts of this process come to, by endpoint, and writes the sums now and then: an attempt itself costs the
 * database nothing. A process that is killed takes its last seconds of counts with it, and no more than counts.
 */
@Injectable()
export class EndpointOutcomes {
  private tallies = new Map<string, Tally>();
  private stats = new Map<string, Stats>();
  /** Endpoints that said so: the record of it has a notification. */
  private readonly gone = new Set<string>();
  /** Endpoints that fail and that no watch has begun for yet. */
  private readonly unwatched = new Set<string>();
  private readonly begins = new Rounds(() => this.beginNext(), 60_000, BEGINS_APART_MS);
  private timers: NodeJS.Timeout[] = [];
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly database: Database,
    private readonly health: EndpointHealthService,
    private readonly notifications: NotificationsService,
    private readonly watches: EndpointWatches,
    private readonly plans: AccountPlans,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  open(): void {
    this.begins.open(false);
    this.timers = [
      setInterval(() => this.enqueue(() => this.writeHealth()), HEALTH_EVERY_MS),
      setInterval(() => this.enqueue(() => this.writeStats()), STATS_EVERY_MS),
    ];
  }

  async close(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    this.enqueue(() => this.writeStats());
    this.enqueue(() => this.writeHealth());
    await this.writing;
    await this.begins.close();
  }

  /** @param endpointId UUID, as is `deliveryId` */
  note(endpointId: string, deliveryId: string, attempt: AttemptSummary, decision: Decision): void {
    // Its receiver was not asked.
    if (attempt.outcome !== 'transform') this.count(endpointId, attempt);
    switch (attempt.outcome) {
      case 'delivered':
        this.add(endpointId, { ...nothing(), succeeded: true });
        return;
      case 'transient':
      case 'permanent':
      case 'refused':
      case 'blocked':
        this.fail(endpointId, deliveryId, attempt);
        break;
      // Whoever asks for quiet, or wants no more of this, is alive.
      case 'throttled':
      case 'aborted':
        break;
      case 'transform':
        break;
      case 'gone':
        this.gone.add(endpointId);
        break;
    }
    if (decision.kind === 'failed' && decision.reason !== 'gone' && decision.reason !== 'aborted')
      this.add(endpointId, { ...nothing(), exhausted: 1 });
  }

  private count(endpointId: string, { outcome, durationMs }: AttemptSummary): void {
    let stats = this.stats.get(endpointId);
    if (!stats) {
      stats = { attempts: 0, delivered: 0, durations: UPPER_BOUNDS_MS.map(() => 0) };
      this.stats.set(endpointId, stats);
    }
    stats.attempts += 1;
    if (outcome === 'delivered') stats.delivered += 1;
    const bucket = bucketOf(durationMs);
    stats.durations[bucket] = (stats.durations[bucket] ?? 0) + 1;
  }

  private fail(endpointId: string, deliveryId: string, attempt: AttemptSummary): void {
    const endedAtMs = attempt.startedAtMs + attempt.durationMs;
    this.add(endpointId, {
      ...nothing(),
      failures: 1,
      deliveries: [deliveryId],
      firstFailureAtMs: endedAtMs,
      lastFailureAtMs: endedAtMs,
      error: attempt.errorCode ?? `http_${attempt.statusCode ?? 0}`,
    });
  }

  private add(endpointId: string, tally: Tally): void {
    const before = this.tallies.get(endpointId);
    this.tallies.set(endpointId, before ? followedBy(before, tally) : tally);
  }

  /** One after the other, so that counts are written in their order. */
  private enqueue(write: () => Promise<void>): void {
    this.writing = this.writing.then(write).catch((error: unknown) => {
      if (!isUnavailable(error))
        this.logger.error({ err: error }, 'the health of endpoints could not be written');
    });
  }

  private async writeHealth(): Promise<void> {
    for (const endpointId of this.gone) {
      this.gone.delete(endpointId);
      await this.notifications.wakeFor(endpointId);
    }
    const tallies = [...this.tallies];
    this.tallies = new Map();
    for (let from = 0; from < tallies.length; from += PAGE) {
      const page = tallies.slice(from, from + PAGE);
      const rows = await this.write(page).catch((error: unknown) => {
        for (const [endpointId, tally] of page) {
          const since = this.tallies.get(endpointId);
          this.tallies.set(endpointId, since ? followedBy(tally, since) : tally);
        }
        throw error;
      });
      for (const row of rows) await this.follow(row);
    }
  }

  private write(page: [string, Tally][]): Promise<HealthChange[]> {
    const input = page.map(([endpoint_id, tally]) => ({
      endpoint_id,
      succeeded: tally.succeeded,
      failures: tally.failures,
      deliveries: tally.deliveries,
      first_failure: new Date(tally.firstFailureAtMs),
      last_failure: new Date(tally.lastFailureAtMs),
      error: tally.error,
      exhausted: tally.exhausted,
    }));
    return this.database.prepared<HealthChange>('write_health', WRITE_HEALTH, [
      JSON.stringify(input),
      CIRCUIT_DELIVERIES,
    ]);
  }

  private async follow(row: HealthChange): Promise<void> {
    const plan = this.plans.known(row.account_id) ?? (await this.plans.load(row.account_id));
    const opensAtMs = circuitOpensAt(
      {
        failingSinceMs: row.failing_since?.getTime() ?? null,
        consecutiveFailures: row.consecutive_failures,
        failedDeliveries: row.failed_deliveries,
      },
      { attempts: row.recent_attempts, delivered: row.recent_delivered, spanMs: row.recent_span_ms },
      healthPolicyOf(this.settings, plan.limits),
    );
    const opens = row.state !== 'circuit_open' && opensAtMs !== null && row.now.getTime() >= opensAtMs;
    if (opens || row.recovered) await this.health.review(row.endpoint_id);
    if (row.failing_since === null) this.unwatched.delete(row.endpoint_id);
    if (opens || row.exhausted) {
      this.unwatched.delete(row.endpoint_id);
      await this.watches.wake('health', row.endpoint_id);
    } else if (row.began) {
      this.unwatched.add(row.endpoint_id);
      this.begins.nudge();
    }
  }

  private async beginNext(): Promise<void> {
    const [endpointId] = this.unwatched;
    if (endpointId === undefined) return;
    this.unwatched.delete(endpointId);
    await this.watches.wake('health', endpointId);
    if (this.unwatched.size > 0) this.begins.nudge();
  }

  private async writeStats(): Promise<void> {
    const stats = [...this.stats];
    this.stats = new Map();
    for (let from = 0; from < stats.length; from += PAGE) {
      const page = stats
        .slice(from, from + PAGE)
        .map(([endpoint_id, { attempts, delivered, durations }]) => ({
          endpoint_id,
          attempts,
          delivered,
          durations,
        }));
      await this.database.prepared('add_endpoint_stats', ADD_STATS, [JSON.stringify(page)]);
    }
  }
}

const nothing = (): Tally => ({
  succeeded: false,
  failures: 0,
  deliveries: [],
  firstFailureAtMs: 0,
  lastFailureAtMs: 0,
  error: null,
  exhausted: 0,
});

function followedBy(before: Tally, after: Tally): Tally {
  const exhausted = before.exhausted + after.exhausted;
  if (after.succeeded) return { ...after, exhausted };
  if (after.failures === 0) return { ...before, exhausted };
  return {
    succeeded: before.succeeded,
    failures: before.failures + after.failures,
    deliveries: [...new Set([...before.deliveries, ...after.deliveries])].slice(0, CIRCUIT_DELIVERIES),
    firstFailureAtMs: before.failures > 0 ? before.firstFailureAtMs : after.firstFailureAtMs,
    lastFailureAtMs: after.lastFailureAtMs,
    error: after.error,
    exhausted,
  };
}

interface HealthChange {
  endpoint_id: string;
  account_id: string;
  state: string;
  now: Date;
  failing_since: Date | null;
  consecutive_failures: number;
  failed_deliveries: number;
  /** The first failure since a success. */
  began: boolean;
  /** A success after trouble that the workflow knows of. */
  recovered: boolean;
  exhausted: boolean;
  recent_attempts: number;
  recent_delivered: number;
  recent_span_ms: number;
}

/**
 * Rows are locked in one order, so that two processes never wait for each other. An endpoint that is well and stays so has
 * no row, or one that is not touched. What nobody was told of is over with the success.
 */
const WRITE_HEALTH = `
  WITH input AS (
    SELECT i.* FROM json_to_recordset($1::json) AS i (endpoint_id uuid, succeeded boolean, failures int, deliveries uuid[],
      first_failure timestamptz, last_failure timestamptz, error text, exhausted int)
    JOIN endpoints e ON e.id = i.endpoint_id AND e.deleted_at IS NULL
  ), known AS (
    SELECT h.endpoint_id, h.failing_since FROM endpoint_health h JOIN input i USING (endpoint_id)
    ORDER BY h.endpoint_id FOR UPDATE OF h
  ), updated AS (
    UPDATE endpoint_health h SET
      failing_since = CASE WHEN i.succeeded OR h.failing_since IS NULL
        THEN CASE WHEN i.failures > 0 THEN i.first_failure END ELSE h.failing_since END,
      consecutive_failures = i.failures + CASE WHEN i.succeeded THEN 0 ELSE h.consecutive_failures END,
      failed_deliveries = CASE WHEN i.succeeded THEN i.deliveries
        ELSE ARRAY(SELECT DISTINCT unnest(h.failed_deliveries || i.deliveries) LIMIT $2) END,
      last_failure_at = CASE WHEN i.failures > 0 THEN i.last_failure ELSE h.last_failure_at END,
      last_error = coalesce(i.error, h.last_error),
      exhausted = h.exhausted + i.exhausted,
      state = CASE WHEN i.succeeded AND h.state = 'suspect' THEN 'healthy' ELSE h.state END,
      state_since = CASE WHEN i.succeeded AND h.state = 'suspect' THEN now() ELSE h.state_since END,
      review_at = CASE WHEN k.failing_since IS NULL AND i.failures > 0 OR i.exhausted > 0
        THEN least(h.review_at, now()) ELSE h.review_at END
    FROM input i JOIN known k USING (endpoint_id)
    WHERE h.endpoint_id = i.endpoint_id AND (i.failures > 0 OR i.exhausted > 0 OR h.failing_since IS NOT NULL)
    RETURNING h.*, k.failing_since AS before, i.succeeded, i.failures, i.exhausted AS newly
  ), inserted AS (
    INSERT INTO endpoint_health AS h (endpoint_id, failing_since, consecutive_failures, failed_deliveries,
      last_failure_at, last_error, exhausted, review_at)
    SELECT endpoint_id, CASE WHEN failures > 0 THEN first_failure END, failures, deliveries,
      CASE WHEN failures > 0 THEN last_failure END, error, exhausted, now()
    FROM input i WHERE (failures > 0 OR exhausted > 0)
      AND NOT EXISTS (SELECT FROM endpoint_health h WHERE h.endpoint_id = i.endpoint_id)
    ORDER BY endpoint_id
    ON CONFLICT (endpoint_id) DO UPDATE SET
      failing_since = coalesce(h.failing_since, excluded.failing_since),
      consecutive_failures = h.consecutive_failures + excluded.consecutive_failures,
      exhausted = h.exhausted + excluded.exhausted
    RETURNING h.*
  ), changed AS (
    SELECT endpoint_id, state, announced, failing_since, consecutive_failures, failed_deliveries, before, succeeded,
      failures > 0 AS failed, newly > 0 AS exhausted FROM updated
    UNION ALL
    SELECT endpoint_id, state, announced, failing_since, consecutive_failures, failed_deliveries, NULL, false,
      failing_since IS NOT NULL, exhausted > 0 FROM inserted
  )
  SELECT c.endpoint_id, e.account_id, c.state, now() AS now, c.failing_since, c.consecutive_failures,
    cardinality(c.failed_deliveries) AS failed_deliveries, c.before IS NULL AND c.failing_since IS NOT NULL AS began,
    c.succeeded AND (c.state IN ('failing', 'circuit_open') OR c.announced IS NOT NULL) AS recovered, c.exhausted,
    r.attempts AS recent_attempts, r.delivered AS recent_delivered, r.span_ms AS recent_span_ms
  FROM changed c JOIN endpoints e ON e.id = c.endpoint_id,
    LATERAL (${recentAttemptsOf('c.endpoint_id', 'c.failed')}) r`;
