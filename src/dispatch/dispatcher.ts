import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { LOGGER } from '../logging/logger.js';
import { isTemporalUnavailable } from '../temporal/temporal.js';
import { type DeliveryRef, DeliveryStarter } from './delivery-starter.js';

export type DispatchItem = DeliveryRef;

/** Past this many waiting, the reconciler of any process takes over: memory is bounded, and nothing is lost. */
const MAX_WAITING = 50_000;
/** A start whose attempt has not begun by then gives up its place. */
const BEGUN_WITHIN_MS = 1_000;
/** After Temporal could not be reached, new deliveries are left to the reconciler for this long. */
const PAUSE_MS = 1_000;

/** Starts the workflows of deliveries that were just committed, in the process that committed them. */
@Injectable()
export class Dispatcher {
  private queue: DispatchItem[] = [];
  private next = 0;
  private readonly starting = new Set<string>();
  private readonly waiting = new Set<string>();
  private readonly begun = new Map<string, () => void>();
  private pausedUntilMs = 0;
  private closed = false;
  private idle: (() => void)[] = [];
  private readonly concurrency: number;
  private readonly eager: boolean;

  constructor(
    private readonly starter: DeliveryStarter,
    @Inject(SETTINGS_TOKEN) settings: Settings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.concurrency = settings.DISPATCH_CONCURRENCY;
    this.eager = settings.ROLES.includes('worker');
  }

  /** How many are waiting to be started or being started here. */
  get backlog(): number {
    return this.waiting.size + this.starting.size;
  }

  /** True while this process will start the delivery without further help. */
  has(deliveryId: string): boolean {
    return this.waiting.has(deliveryId) || this.starting.has(deliveryId);
  }

  offer(items: DispatchItem[]): void {
    if (this.closed || Date.now() < this.pausedUntilMs) return;
    for (const item of items) {
      if (this.waiting.size >= MAX_WAITING) break;
      this.queue.push(item);
      this.waiting.add(item.deliveryId);
    }
    this.pump();
  }

  /** Takes nothing more and resolves when the starts under way have ended. What was waiting is the reconciler's. */
  async close(): Promise<void> {
    this.closed = true;
    this.clear();
    while (this.starting.size > 0) await new Promise<void>((resolve) => this.idle.push(resolve));
  }

  private pump(): void {
    while (this.starting.size < this.concurrency) {
      const item = this.queue[this.next];
      if (!item) break;
      this.next += 1;
      this.waiting.delete(item.deliveryId);
      this.starting.add(item.deliveryId);
      void this.start(item);
    }
    // An array is a queue as long as its spent head is cut off now and then.
    if (this.next > 1024 && this.next * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.next);
      this.next = 0;
    }
  }

  /** An attempt of this delivery begins in this process: its place among the starts is free. */
  attempting(deliveryId: string): void {
    this.begun.get(deliveryId)?.();
  }

  private async start(item: DispatchItem): Promise<void> {
    try {
      const begun = this.eager ? this.untilBegun(item.deliveryId) : undefined;
      if (await this.starter.start(item, { eager: this.eager })) await begun;
    } catch (error) {
      if (isTemporalUnavailable(error)) {
        if (Date.now() >= this.pausedUntilMs) {
          this.logger.warn({ err: error }, 'Temporal is not reachable; deliveries wait in PostgreSQL');
        }
        this.pausedUntilMs = Date.now() + PAUSE_MS;
        this.clear();
      } else {
        this.logger.error(
          { err: error, deliveryId: item.deliveryId },
          'a delivery could not be started; it is tried again',
        );
      }
    } finally {
      this.attempting(item.deliveryId);
      this.starting.delete(item.deliveryId);
      this.pump();
      if (this.starting.size === 0) for (const wake of this.idle.splice(0)) wake();
    }
  }

  /**
   * Starts are cheap to ask for and dear to carry out. Asking for more than this process can begin only fills task
   * queues and pushes open workflows out of the cache, so a start keeps its place until its first attempt begins.
   */
  private untilBegun(deliveryId: string): Promise<void> {
    return new Promise((resolve) => {
      // Another process may have it, or be slow: that is no reason to wait for long.
      const timer = setTimeout(() => this.attempting(deliveryId), BEGUN_WITHIN_MS);
      this.begun.set(deliveryId, () => {
        clearTimeout(timer);
        this.begun.delete(deliveryId);
        resolve();
      });
    });
  }

  private clear(): void {
    this.queue = [];
    this.next = 0;
    this.waiting.clear();
  }
}
