import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import type { AttemptSummary } from '../../workflows/contracts.js';
import { LOGGER } from '../logging/logger.js';
import { isTemporalUnavailable } from '../temporal/temporal.js';
import { type DeliveryRef, DeliveryStarter } from './delivery-starter.js';

/** Started at once: their next attempt is seconds away at least, and fresh deliveries need the engine more. */
const CONCURRENCY = 2;
/** How long each rests while fresh deliveries are expected, as a multiple of what its start took. */
const REST = { times: 4, mostMs: 500 };
/** Past this many waiting, the reconciler starts them when their next attempt is due. */
const MAX_WAITING = 10_000;

interface Waiting {
  ref: DeliveryRef;
  attempt: AttemptSummary;
  dueAtMs: number;
}

/** Gives deliveries that their first attempt did not finish to workflows, with that attempt on their log. */
@Injectable()
export class HandOver {
  private queue: Waiting[] = [];
  private next = 0;
  private readonly working = new Set<Promise<void>>();
  private closed = false;
  private freshAreExpected = () => false;

  constructor(
    private readonly starter: DeliveryStarter,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** @param freshAreExpected whether fresh deliveries are likely to need the engine within moments */
  leaveRoomWhile(freshAreExpected: () => boolean): void {
    this.freshAreExpected = freshAreExpected;
  }

  get waiting(): number {
    return this.queue.length - this.next;
  }

  offer(ref: DeliveryRef, attempt: AttemptSummary, delayMs: number): void {
    if (this.closed || this.waiting >= MAX_WAITING) return;
    this.queue.push({ ref, attempt, dueAtMs: Date.now() + delayMs });
    this.pump();
  }

  /** What still waits is the reconciler's. */
  async close(): Promise<void> {
    this.closed = true;
    this.queue = [];
    this.next = 0;
    await Promise.all(this.working);
  }

  private pump(): void {
    while (this.working.size < CONCURRENCY) {
      const waiting = this.queue[this.next];
      if (!waiting) {
        this.queue = [];
        this.next = 0;
        return;
      }
      this.next += 1;
      const working = this.start(waiting).finally(() => {
        this.working.delete(working);
        this.pump();
      });
      this.working.add(working);
    }
  }

  private async start(waiting: Waiting): Promise<void> {
    const beganAtMs = performance.now();
    await this.startWorkflow(waiting);
    if (this.freshAreExpected() && !this.closed)
      await sleep(Math.min(REST.times * (performance.now() - beganAtMs), REST.mostMs));
  }

  private async startWorkflow({ ref, attempt, dueAtMs }: Waiting): Promise<void> {
    const dueInMs = Math.max(0, dueAtMs - Date.now());
    try {
      await this.starter.start(ref, {
        eager: true,
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
