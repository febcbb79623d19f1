import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { steadyMs } from '../common/steady-clock.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Database } from '../database/database.js';
import { RETRY_GRACE } from '../deliveries/loader.js';
import { LOGGER } from '../logging/logger.js';
import { Metrics } from '../metrics/metrics.js';
import { Pacer } from '../pacing/pacer.js';
import { refusesAll, Temporal, TemporalNotAskedError } from '../temporal/temporal.js';
import { DeliveryStarter } from './delivery-starter.js';
import type { DispatchItem } from './dispatch-item.js';
import type { MayGo } from './fair-queue.js';
import { Lane, type Room } from './lane.js';
import { LaneSwitch } from './lane-switch.js';

const FOR_BACKLOGS = { backlogs: 1, yieldMs: 100 };
/** A start whose attempt has not begun by then gives up its place. */
const BEGUN_WITHIN_MS = 1_000;
/** An attempt that lasts longer waits for its receiver, and leaves its place to others. */
const SLOW_AFTER_MS = 50;
/** After Temporal has taken nothing, starts wait for this long. */
const AWAY_MS = 1_000;
/** After so long others may have what waits here: it may be this process alone that cannot reach it. */
const CUT_OFF_AFTER_MS = 10_000;
/** And deliveries that may go either way go by express for this much longer. */
const AWAY_LONGER_MS = 500;

/** The lane through Temporal: a delivery's first attempt is made by its workflow. */
@Injectable()
export class Engine {
  readonly lane: Lane<DispatchItem>;
  private readonly laneSwitch = new LaneSwitch(steadyMs());
  private readonly begun = new Map<string, (here: boolean) => void>();
  private readonly answered = new Map<string, () => void>();
  private awayUntilMs = 0;
  /** Since when no start has come about; null while they do. */
  private awaySinceMs: number | null = null;
  /** Whether the last start did not come about: a ping proves little, since it asks another part of Temporal. */
  private isDoubted = false;
  /** Whether backlogs leave places to those without one. */
  private leavesRoom = false;
  private closed = false;

  constructor(
    private readonly database: Database,
    private readonly temporal: Temporal,
    private readonly starter: DeliveryStarter,
    private readonly pacer: Pacer,
    private readonly metrics: Metrics,
    @Inject(SETTINGS_TOKEN) settings: Settings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.lane = new Lane({ all: settings.DISPATCH_CONCURRENCY, ...FOR_BACKLOGS });
  }

  /** Nothing rests any more. */
  close(): void {
    this.closed = true;
  }

  /** @returns whether deliveries that may go either way go by express */
  isBehind(now: number): boolean {
    if (this.isCutOff) return true;
    const { lane } = this;
    // What is to be started finds out. Where nothing is, the next one that comes does.
    if (this.isDoubted && lane.busy + lane.queue.ready > 0) this.laneSwitch.away(now + AWAY_LONGER_MS);
    // Whoever waits for its receiver does not wait for the engine.
    return this.laneSwitch.isExpress(now, lane.isFull ? lane.queue.size : lane.queue.ready);
  }

  /** Whether Temporal has been away for long: nothing is to be taken for it until it is there again. */
  get isCutOff(): boolean {
    return this.awaySinceMs !== null && steadyMs() - this.awaySinceMs >= CUT_OFF_AFTER_MS;
  }

  /** Asks whether Temporal is there again. @returns what waits for it, which is nobody's from now on */
  async whileCutOff(): Promise<DispatchItem[]> {
    try {
      await this.temporal.ping();
      this.awaySinceMs = null;
      return [];
    } catch {
      return this.lane.queue.remove(() => true, steadyMs());
    }
  }

  /** A delivery has come that is for the engine, or may be. */
  arrivedOne(): void {
    this.laneSwitch.arrivedOne();
  }

  /** An attempt of this delivery begins in this process: it has been waited for. */
  attempting(deliveryId: string): void {
    this.begun.get(deliveryId)?.(true);
  }

  /** An attempt of this delivery has ended in this process. */
  attempted(deliveryId: string): void {
    this.answered.get(deliveryId)?.();
  }

  /**
   * The next one to {@link start}, which has a place from now on.
   *
   * @param room whether backlogs leave room to those without one, and whether one of these is about to come
   */
  take(now: number, room: Room, mayGo: MayGo): DispatchItem | undefined {
    if (now < this.awayUntilMs) return undefined;
    this.leavesRoom = room.leaves;
    return this.lane.take(now, room, mayGo);
  }

  /**
   * Starts are cheap to ask for and dear to carry out. Asking for more than this process can begin only fills task
   * queues and pushes open workflows out of the cache, so a start keeps its place until its first attempt begins.
   *
   * @returns the delivery when it must be tried again
   */
  async start(item: DispatchItem): Promise<DispatchItem | undefined> {
    const { deliveryId } = item;
    const slow = this.pacer.isSlow(this.pacer.of(item.endpointId));
    this.pacer.enter(deliveryId, item.endpointId, item.accountId);
    const beganAtMs = performance.now();
    const begun = this.untilBegun(deliveryId);
    // While its start hangs, others may have its place at the endpoint.
    void begun.then((here) => {
      if (!here) this.pacer.giveUp(deliveryId);
    });
    let again: DispatchItem | undefined;
    try {
      const isStarted = await this.starter.start(item, { eager: true, slow });
      this.awaySinceMs = null;
      this.isDoubted = false;
      if (isStarted) {
        this.metrics.firstAttempt('durable');
        if (await begun) {
          if (this.leavesRoom) await this.leaveRoom(deliveryId, beganAtMs);
          return undefined;
        }
      } else {
        await this.leaveToItsWorkflow(item);
      }
    } catch (error) {
      if (refusesAll(error)) again = this.isAway(item, error);
      else
        this.logger.error({ err: error, deliveryId }, 'a delivery could not be started; it is tried again');
    }
    this.begun.get(deliveryId)?.(false);
    return again;
  }

  /** @returns false when no attempt began in time: another process has it, or is slow */
  private untilBegun(deliveryId: string): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.begun.get(deliveryId)?.(false), BEGUN_WITHIN_MS);
      this.begun.set(deliveryId, (here) => {
        clearTimeout(timer);
        this.begun.delete(deliveryId);
        if (here) this.laneSwitch.begunOne();
        resolve(here);
      });
    });
  }

  /** Keeps a place for longer than its start needs it; one of a backlog then rests for as long as it was in the way. */
  private async leaveRoom(deliveryId: string, beganAtMs: number): Promise<void> {
    await this.untilAnsweredOrSlow(deliveryId);
    if (this.lane.isOfBacklog(deliveryId) && !this.closed) await sleep(performance.now() - beganAtMs);
  }

  private untilAnsweredOrSlow(deliveryId: string): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.answered.get(deliveryId)?.(), SLOW_AFTER_MS);
      this.answered.set(deliveryId, () => {
        clearTimeout(timer);
        this.answered.delete(deliveryId);
        resolve();
      });
    });
  }

  private isAway(item: DispatchItem, error: unknown): DispatchItem {
    const now = steadyMs();
    if (now >= this.awayUntilMs)
      this.logger.warn({ err: error }, 'Temporal takes nothing; deliveries wait for it');
    this.awaySinceMs ??= now;
    this.isDoubted = true;
    this.awayUntilMs = now + AWAY_MS;
    this.laneSwitch.away(this.awayUntilMs + AWAY_LONGER_MS);
    // Once it was asked for, whether its workflow was started is not known: it may not be made express any more.
    return error instanceof TemporalNotAskedError ? item : { ...item, auto: false };
  }

  /**
   * Its workflow was started before, here or elsewhere, and sees to it. Whether that was told of a pause after it had been told of
   * its end is not known; the record does not hold it.
   */
  private async leaveToItsWorkflow(item: DispatchItem): Promise<void> {
    await this.starter.release(item, undefined);
    await this.database.prepared(
      'leave_to_workflow',
      `UPDATE deliveries SET lease = NULL,
          due_at = greatest(now() + interval '60 seconds', next_attempt_at + interval '${RETRY_GRACE} seconds')
        WHERE id = $1 AND status IN ('pending', 'retrying') AND tell IS NULL`,
      [item.deliveryId],
    );
  }
}
