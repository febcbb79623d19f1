import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import type { AttemptSummary } from '../../workflows/contracts.js';
import { steadyMs } from '../common/steady-clock.js';
import { LOGGER } from '../logging/logger.js';
import { Pacer } from '../pacing/pacer.js';
import { isTemporalUnavailable } from '../temporal/temporal.js';
import { type DeliveryRef, DeliveryStarter } from './delivery-starter.js';

/** Starts under way together: fresh deliveries need the engine more. */
const CONCURRENCY = 2;
/**
 * How long each rests while fresh deliveries are expected, as a multiple of what its start took. The later its retry is
 * already, the shorter, down to nothing.
 */
const REST = { times: 8, mostMs: 500, noneWhenLateMs: 5_000 };
/** How far apart those are started that are not due yet, while fresh deliveries are expected. */
const EARLY_EVERY_MS = 250;
/** What is due within it is not started early: at its time its attempt needs no timer and no task queue. */
const SOON_MS = 5_000;
/** Past this many waiting, the reconciler starts those that are due last, some seconds after their next attempt is due. */
const MAX_WAITING = 10_000;
/** Past this many, early ones are not kept apart: what waits here is in memory only. */
const MANY_WAITING = 5_000;

interface Waiting {
  ref: DeliveryRef;
  attempt: AttemptSummary;
  dueAtMs: number;
}

/**
 * Gives deliveries that their first attempt did not finish to workflows, with that attempt on their log: at once, as long
 * as nobody else needs the engine; otherwise when their next attempt is due, and the ones that have longest to wait in
 * between, a few a second.
 */
@Injectable()
export class HandOver {
  /** The one whose next attempt is due first is last. */
  private readonly queue: Waiting[] = [];
  private readonly working = new Set<Promise<void>>();
  private lookAgain: NodeJS.Timeout | undefined;
  private nextEarlyAtMs = 0;
  private closed = false;
  private freshAreExpected = () => false;

  constructor(
    private readonly starter: DeliveryStarter,
    private readonly pacer: Pacer,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** @param freshAreExpected whether fresh deliveries are likely to need the engine within moments */
  leaveRoomWhile(freshAreExpected: () => boolean): void {
    this.freshAreExpected = freshAreExpected;
  }

  get waiting(): number {
    return this.queue.length;
  }

  offer(ref: DeliveryRef, attempt: AttemptSummary, delayMs: number): void {
    if (this.closed) return;
    this.insert({ ref, attempt, dueAtMs: steadyMs() + delayMs });
    if (this.waiting > MAX_WAITING) this.queue.shift();
    this.pump();
  }

  /** What still waits is the reconciler's. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.lookAgain);
    this.queue.length = 0;
    await Promise.all(this.working);
  }

  private insert(waiting: Waiting): void {
    let [from, to] = [0, this.queue.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((this.queue[middle]?.dueAtMs ?? 0) > waiting.dueAtMs) from = middle + 1;
      else to = middle;
    }
    this.queue.splice(from, 0, waiting);
  }

  private pump(): void {
    clearTimeout(this.lookAgain);
    while (this.working.size < CONCURRENCY) {
      const waiting = this.take(steadyMs());
      if (!waiting) return;
      const working = this.start(waiting).finally(() => {
        this.working.delete(working);
        this.pump();
      });
      this.working.add(working);
    }
  }

  private take(now: number): Waiting | undefined {
    const soonest = this.queue.at(-1);
    const latest = this.queue[0];
    if (!soonest || !latest) return undefined;
    if (soonest.dueAtMs <= now || !this.freshAreExpected()) return this.queue.pop();
    if (latest.dueAtMs > now + SOON_MS && (now >= this.nextEarlyAtMs || this.waiting > MANY_WAITING)) {
      this.nextEarlyAtMs = now + EARLY_EVERY_MS;
      return this.queue.shift();
    }
    this.lookAgain = setTimeout(() => this.pump(), Math.min(soonest.dueAtMs - now, EARLY_EVERY_MS));
    return undefined;
  }

  private async start(waiting: Waiting): Promise<void> {
    const beganAtMs = performance.now();
    const lateMs = Math.max(0, steadyMs() - waiting.dueAtMs);
    await this.startWorkflow(waiting);
    const share = Math.max(0, 1 - lateMs / REST.noneWhenLateMs);
    const restMs = Math.min(REST.times * (performance.now() - beganAtMs), REST.mostMs) * share;
    if (restMs > 0 && this.freshAreExpected() && !this.closed) await sleep(restMs);
  }

  private async startWorkflow({ ref, attempt, dueAtMs }: Waiting): Promise<void> {
    const dueInMs = Math.max(0, dueAtMs - steadyMs());
    try {
      await this.starter.start(ref, {
        eager: true,
        slow: this.pacer.isSlow(this.pacer.of(ref.endpointId)),
        from: { attempts: [attempt], budgetStart: 0, dueInMs, trigger: 'schedule' },
      });
    } catch (error) {
      if (isTemporalUnavailable(error)) return;
      this.logger.warn(
        { err: error, deliveryId: ref.deliveryId },
        'a workflow could not be started; it is tried again',
      );
    }
  }
}
