import { Inject, Injectable } from '@nestjs/common';
import type { Caller } from '../auth/caller.js';
import { fromId } from '../common/ids.js';
import { parseUrl } from '../common/parse-url.js';
import { notFound } from '../common/problems.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Database } from '../database/database.js';
import { Backlog } from '../endpoints/backlog.js';
import { type NotificationKind, NotificationsService } from '../notifications/notifications.service.js';
import { joinPlan, planFrom, type PlanRow } from '../plans/plan-of-account.js';
import { quantile } from './duration-histogram.js';
import type { EndpointHealthShown } from './endpoint-health.schema.js';
import { type HealthNotice, type HealthState, reviewHealth } from './health-machine.js';
import { healthPolicyOf } from './health-policy.js';
import {
  disable,
  DISABLED,
  forgetHealth,
  forgetBegunAnew,
  type HealthRow,
  lockRecord,
  probeOne,
  recordOf,
  setCircuit,
  writeRecord,
} from './health-record.js';
import { Reenabling } from './reenabling.js';
import { READ_STATS } from './stats-tables.js';

/** The health of endpoints: what follows from the figures, and what people see of it. */
@Injectable()
export class EndpointHealthService {
  constructor(
    private readonly database: Database,
    private readonly backlog: Backlog,
    private readonly notifications: NotificationsService,
    private readonly reenabling: Reenabling,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
  ) {}

  async get(_caller: Caller, accountId: string, endpointId: string): Promise<EndpointHealthShown> {
    const [row] = await this.database.prepared<ShownRow>(
      'show_health',
      `SELECT e.created_at, e.disabled_reason, e.updated_at, h.state, h.state_since, h.failing_since, h.last_failure_at,
         h.last_error, coalesce(h.consecutive_failures, 0) AS consecutive_failures
        FROM endpoints e LEFT JOIN endpoint_health h ON h.endpoint_id = e.id
        WHERE e.id = $1 AND e.account_id = $2 AND e.deleted_at IS NULL`,
      [endpointId, accountId],
    );
    if (!row) throw notFound('endpoint');
    const stats = await this.database.prepared<StatsRow>('read_endpoint_stats', READ_STATS, [endpointId]);
    const isDisabled = row.disabled_reason !== null;
    return {
      state: isDisabled ? 'disabled' : (row.state ?? 'healthy'),
      since: (isDisabled ? row.updated_at : (row.state_since ?? row.created_at)).toISOString(),
      failingSince: row.failing_since?.toISOString() ?? null,
      consecutiveFailures: row.consecutive_failures,
      lastError:
        row.last_error === null || row.last_failure_at === null
          ? null
          : { code: row.last_error, at: row.last_failure_at.toISOString() },
      windows: Object.fromEntries(
        stats.map(({ window, attempts, delivered, durations }) => [
          window,
          {
            attempts,
            successRate: attempts === 0 ? null : delivered / attempts,
            p50Ms: quantile(durations ?? [], 0.5),
            p95Ms: quantile(durations ?? [], 0.95),
            p99Ms: quantile(durations ?? [], 0.99),
          },
        ]),
      ) as EndpointHealthShown['windows'],
    };
  }

  /**
   * Does what the figures ask for at this moment. Any process may at any time: what was done already is not done again.
   *
   * @param endpointId UUID
   * @returns milliseconds until it is to be looked at again; null when nothing changes by time alone; `disabled` for one
   *   that is or was disabled for failing
   */
  async review(endpointId: string): Promise<number | null | typeof DISABLED> {
    const done = await this.database.transaction(async (client) => {
      const endpoints = await client.query<LockedEndpoint>(
        `SELECT e.account_id, e.url, e.disabled_reason, e.held_reason, e.circuit_open, plan.name, plan.limits
          FROM endpoints e JOIN accounts a ON a.id = e.account_id ${joinPlan('$2')}
          WHERE e.id = $1 AND e.deleted_at IS NULL FOR NO KEY UPDATE OF e`,
        [endpointId, this.settings.DEFAULT_PLAN],
      );
      const [endpoint] = endpoints.rows;
      if (endpoint?.disabled_reason === 'failing') {
        await forgetBegunAnew(client, endpointId);
        return DISABLED;
      }
      const row = await lockRecord(client, endpointId);
      if (!row) return null;
      // Deleted, disabled by its owner, or paused.
      if (endpoint?.disabled_reason !== null || endpoint.held_reason === 'endpoint_paused') {
        await forgetHealth(client, endpointId);
        return null;
      }
      const policy = healthPolicyOf(this.settings, planFrom(endpoint, this.settings.DEFAULT_PLAN).limits);
      const review = reviewHealth(recordOf(row), row, policy, row.now.getTime());
      await writeRecord(client, endpointId, review);
      const isOpen = review.record.state === 'circuit_open';
      if (isOpen !== endpoint.circuit_open) await setCircuit(client, endpointId, isOpen);
      if (review.probe) await probeOne(client, endpoint.account_id, endpointId);
      if (review.disable) await disable(client, endpointId, policy.reenableProbeMs);
      for (const notice of review.notices) {
        await this.notifications.add(client, {
          accountId: endpoint.account_id,
          endpointId,
          kind: KINDS[notice.kind],
          data: factsOf(notice, row, endpoint.url),
        });
      }
      return { ...review, accountId: endpoint.account_id };
    });
    if (done === null || done === DISABLED) return done;
    if (done.notices.length > 0) await this.notifications.wake(done.accountId);
    await this.backlog.follow(endpointId);
    return done.disable ? DISABLED : done.againInMs;
  }

  /** What the endpoint-health workflow calls itself by. @param id `ep_…` */
  async reviewById(id: string): Promise<number | null> {
    const endpointId = fromId('endpoint', id);
    if (endpointId === null) return null;
    const again = await this.review(endpointId);
    return again === DISABLED ? this.reenabling.look(endpointId) : again;
  }
}

interface LockedEndpoint extends PlanRow {
  account_id: string;
  url: string;
  disabled_reason: string | null;
  held_reason: string | null;
  circuit_open: boolean;
}

const KINDS = {
  failing: 'endpoint.failing',
  circuit_open: 'endpoint.circuit_open',
  disabled: 'endpoint.disabled',
  recovered: 'endpoint.recovered',
  exhausted: 'endpoint.deliveries_failed',
} as const satisfies Record<HealthNotice['kind'], NotificationKind>;

/** What the owner is told beside what happened. A path or query of a URL may hold a token: the origin alone. */
function factsOf(notice: HealthNotice, row: HealthRow, url: string): Record<string, unknown> {
  return {
    endpointOrigin: parseUrl(url)?.origin ?? null,
    failingSince: row.failing_since?.toISOString() ?? null,
    consecutiveFailures: row.consecutive_failures,
    lastError: row.last_error,
    ...(notice.kind === 'exhausted' ? { count: notice.count } : {}),
    ...(notice.kind === 'disabled' ? { reason: 'failing' } : {}),
  };
}

interface ShownRow {
  created_at: Date;
  updated_at: Date;
  disabled_reason: string | null;
  state: HealthState | null;
  state_since: Date | null;
  failing_since: Date | null;
  last_failure_at: Date | null;
  last_error: string | null;
  consecutive_failures: number;
}

interface StatsRow {
  window: '1h' | '24h' | '7d';
  attempts: number;
  delivered: number;
  durations: number[] | null;
}
