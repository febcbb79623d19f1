import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { fromId } from '../common/ids.js';
import { Rounds } from '../common/rounds.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Database, isUnavailable } from '../database/database.js';
import { Doorbell } from '../dispatch/doorbell.js';
import { LOGGER } from '../logging/logger.js';
import { joinPlan } from '../plans/plan-of-account.js';
import { DEFAULT_LIMITS } from './batches.schema.js';
import { BatchSealer, CLOSES_IN_MS } from './batch-sealer.js';
import { BatchWindows } from './batch-windows.js';

const LOOK_EVERY_MS = 1_000;
/** Between two looks, however much comes: what comes meanwhile is counted together. */
const LOOKS_APART_MS = 100;
/** Arrivals that one look takes. */
const MAX_CLAIMED = 5_000;
/** After which a window's workflow is not waited for any more. */
const LATE_SECONDS = 2;
const MAX_LATE = 500;
const CONCURRENCY = 4;

/**
 * Opens a window for each endpoint that something has come for, and makes a batch of it as soon as one is full; when its time
 * is over its workflow says. Runs where there is a worker, in any number of processes.
 */
@Injectable()
export class BatchCollector {
  private readonly rounds = new Rounds(() => this.look(), LOOK_EVERY_MS, LOOKS_APART_MS);

  constructor(
    private readonly database: Database,
    private readonly doorbell: Doorbell,
    private readonly sealer: BatchSealer,
    private readonly windows: BatchWindows,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  open(): void {
    this.doorbell.listen(() => this.nudge());
    this.rounds.open();
  }

  async close(): Promise<void> {
    await this.rounds.close();
    await this.windows.close();
  }

  /** Something to collect has just been committed. */
  nudge(): void {
    this.rounds.nudge();
  }

  /**
   * The time of a window is over, as far as its workflow knows.
   *
   * @param endpointId `ep_…`
   * @param windowId UUID
   * @returns milliseconds until it is; null once the window is closed
   */
  async closeById(endpointId: string, windowId: string): Promise<number | null> {
    const uuid = fromId('endpoint', endpointId);
    const open = uuid === null ? null : await this.sealer.seal(uuid);
    return open?.id === windowId ? Math.max(1, open.closesInMs) : null;
  }

  private async look(): Promise<void> {
    try {
      while (!this.rounds.closed && (await this.collect()));
      const late = await this.database.prepared<{ endpoint_id: string }>('late_windows', LATE, []);
      await this.eachOf(late, async ({ endpoint_id: endpointId }) => {
        await this.sealer.seal(endpointId);
      });
    } catch (error) {
      if (!isUnavailable(error)) this.logger.error({ err: error }, 'batches could not be made');
    }
  }

  /** @returns whether there may be more */
  private async collect(): Promise<boolean> {
    const rows = await this.database.prepared<WindowRow>('collect_arrivals', COLLECT, [
      DEFAULT_LIMITS.maxEvents,
      DEFAULT_LIMITS.maxWaitSeconds,
      DEFAULT_LIMITS.maxBytes,
      this.settings.DEFAULT_PLAN,
    ]);
    await this.eachOf(rows, (row) => this.follow(row));
    return rows.reduce((sum, { arrivals }) => sum + arrivals, 0) >= MAX_CLAIMED;
  }

  private async follow(row: WindowRow): Promise<void> {
    const ref = { accountId: row.account_id, endpointId: row.endpoint_id, windowId: row.id };
    if (!row.is_full && row.closes_in_ms > 0) {
      if (row.is_new) this.windows.opened(ref, row.closes_in_ms);
      return;
    }
    const open = await this.sealer.seal(row.endpoint_id);
    if (open?.id !== row.id) {
      if (!row.is_new) this.windows.over(ref);
    } else if (row.is_new) this.windows.opened(ref, open.closesInMs);
  }

  private async eachOf<Item>(items: Item[], work: (item: Item) => Promise<void>): Promise<void> {
    const queue = items.values();
    await Promise.all(
      Array.from({ length: CONCURRENCY }, async () => {
        for (const item of queue) await work(item);
      }),
    );
  }
}

interface WindowRow {
  id: string;
  account_id: string;
  endpoint_id: string;
  closes_in_ms: number;
  is_full: boolean;
  /** Whether it was opened just now: no workflow waits for its end yet. */
  is_new: boolean;
  arrivals: number;
}

/**
 * A window and what it counts are one commit, so whoever goes on after a crash finds the window. A row that was there before
 * has been updated, and so has an xmax. What no window can be waited for goes at once.
 */
const COLLECT = `
  WITH claimed AS (
    DELETE FROM batch_arrivals WHERE id IN (
      SELECT id FROM batch_arrivals ORDER BY id LIMIT ${MAX_CLAIMED} FOR UPDATE SKIP LOCKED)
    RETURNING endpoint_id, at, items, bytes
  ), arrived AS (
    SELECT endpoint_id, min(at) AS at, sum(items)::int AS items, sum(bytes) AS bytes, count(*)::int AS arrivals
    FROM claimed GROUP BY endpoint_id
  ), collecting AS (
    SELECT r.*, e.account_id, e.batch IS NULL OR e.disabled_reason IS NOT NULL OR e.deleted_at IS NOT NULL AS is_over,
      least(coalesce((e.batch ->> 'maxEvents')::int, $1), (plan.limits ->> 'batchSize')::int) AS max_events,
      coalesce((e.batch ->> 'maxWaitSeconds')::int, $2) AS max_wait_seconds,
      coalesce((e.batch ->> 'maxBytes')::bigint, $3) AS max_bytes
    FROM arrived r JOIN endpoints e ON e.id = r.endpoint_id JOIN accounts a ON a.id = e.account_id ${joinPlan('$4')}
  ), windows AS (
    INSERT INTO batch_windows AS w (endpoint_id, id, closes_at, items, bytes, max_events, max_wait_seconds, max_bytes)
    SELECT endpoint_id, posthorn_uuid_v7(),
      CASE WHEN is_over THEN now() ELSE at + max_wait_seconds * interval '1 second' END,
      items, bytes, max_events, max_wait_seconds, max_bytes
    FROM collecting ORDER BY endpoint_id
    ON CONFLICT (endpoint_id) DO UPDATE SET items = w.items + excluded.items, bytes = w.bytes + excluded.bytes
    RETURNING w.*, w.xmax = 0 AS is_new
  )
  SELECT w.id, c.account_id, w.endpoint_id, ${CLOSES_IN_MS} AS closes_in_ms, w.is_full, w.is_new, c.arrivals
  FROM windows w JOIN collecting c USING (endpoint_id)`;

/** Nobody has closed them in time: their workflow was lost or never begun, or whoever was to fill a batch has crashed. */
const LATE = `
  SELECT endpoint_id FROM batch_windows WHERE is_full OR closes_at < now() - interval '${LATE_SECONDS} seconds'
  ORDER BY closes_at LIMIT ${MAX_LATE}`;
