import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import type { AttemptResult } from '../../workflows/contracts.js';
import { UNSPENT } from '../../workflows/schedule.js';
import { toId } from '../common/ids.js';
import { fromSystemMs, steadyMs } from '../common/steady-clock.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Database } from '../database/database.js';
import { Attempter } from '../deliveries/attempter.js';
import { Recorder } from '../deliveries/recorder.js';
import { LOGGER } from '../logging/logger.js';
import { Metrics } from '../metrics/metrics.js';
import type { EndpointPace } from '../pacing/endpoint-pace.js';
import { Pacer } from '../pacing/pacer.js';
import type { DispatchItem } from './dispatch-item.js';
import { Engine } from './engine.js';
import { ExpressConversions } from './express-conversions.js';
import type { MayGo } from './fair-queue.js';
import { HandOver } from './hand-over.js';
import { Lane } from './lane.js';
import { ProcessLease } from './process-lease.js';
import { Resting } from './resting.js';
import { UnderWay } from './under-way.js';
import { UNTRIED } from './untried.js';
import { MAX_CLAIMED, WaitingRoom } from './waiting-room.js';

/** An attempt that lasts longer waits for its receiver, and leaves its place to others; one of a backlog, that has few, sooner. */
const SLOW_AFTER_MS = { light: 50, backlog: 10 };
const MAX_UNDER_WAY = 2_000;
const CHORES_EVERY_MS = 500;
const PRUNE_EVERY_MS = 30_000;
/** Seconds of a rate limit that are reserved ahead; no more, so that a change of the limit takes hold at once. */
const RESERVE_AHEAD_S = 0.25;
const TRY_AGAIN_MS = { first: 250, most: 10_000 };
const EXPRESS_PLACES = { all: 128, backlogs: 4, yieldMs: 10 };

/**
 * Makes or starts the first attempts of the deliveries that this process has in hand, in a fair order and at each
 * endpoint's pace. Runs where there is a worker: only there is it known what is under way.
 */
@Injectable()
export class Dispatcher {
  private readonly express = new Lane<DispatchItem>(EXPRESS_PLACES);
  private readonly resting = new Resting<DispatchItem>((item) => {
    this.express.queue.push(item, steadyMs());
    this.pump();
  });
  readonly waitingRoom: WaitingRoom;
  private readonly underWay = new UnderWay(MAX_UNDER_WAY, (endpointId) => this.letGo(endpointId));
  private readonly conversions: ExpressConversions;
  private readonly failures = new Map<string, number>();
  private readonly timers = new Map<string, NodeJS.Timeout>();
  private readonly reserving = new Set<string>();
  private chores: NodeJS.Timeout | undefined;
  private prunedAtMs = 0;
  /** Whether backlogs leave places to those without one. */
  private leavesRoom = false;
  /** Publishes under way of accounts that do not flood. */
  private coming = 0;
  /** Whether something that may go either way may wait for the engine. */
  private autoWaits = false;
  private closed = true;

  constructor(
    private readonly database: Database,
    private readonly engine: Engine,
    private readonly handOver: HandOver,
    private readonly attempter: Attempter,
    private readonly recorder: Recorder,
    private readonly pacer: Pacer,
    private readonly lease: ProcessLease,
    private readonly metrics: Metrics,
    @Inject(SETTINGS_TOKEN) settings: Settings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.waitingRoom = new WaitingRoom(
      settings.WAITING_DELIVERIES,
      [engine.lane.queue, this.express.queue],
      this.resting,
    );
    this.conversions = new ExpressConversions(database, lease, logger, (converted) => {
      if (converted && !this.closed) this.express.queue.push(converted, steadyMs());
      this.pump();
    });
    handOver.leaveRoomWhile(() => this.leavesRoom);
    pacer.onSend((deliveryId) => this.express.sent(deliveryId));
    pacer.onLeave((deliveryId, endpointId) => {
      this.express.free(deliveryId);
      engine.attempted(deliveryId);
      this.letGo(endpointId);
      this.pump();
    });
  }

  /** Takes deliveries from now on; in a process without a worker it never does. */
  async open(): Promise<void> {
    this.closed = false;
    await this.lease.open(() => {
      this.engine.lane.queue.clear();
      this.express.queue.clear();
      this.resting.clear();
      this.conversions.clear();
    });
    this.chores = setInterval(() => void this.doChores(), CHORES_EVERY_MS);
  }

  /**
   * Takes nothing more, gives back what has not begun, and resolves when what has begun here has ended or been passed on.
   *
   * @param graceMs how long attempts under way are waited for
   */
  async close(graceMs: number): Promise<void> {
    this.closed = true;
    this.engine.close();
    clearInterval(this.chores);
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.timers.clear();
    const now = steadyMs();
    const waiting = [this.engine.lane.queue, this.express.queue].flatMap((queue) =>
      queue.remove(() => true, now),
    );
    this.giveBack([
      ...waiting.map(({ deliveryId }) => deliveryId),
      ...this.resting.clear(),
      ...this.conversions.clear(),
    ]);
    await Promise.race([this.underWay.ended(), sleep(graceMs, undefined, { ref: false })]);
    await this.handOver.close();
  }

  /** How many wait in this process, or have a place. */
  get backlog(): number {
    return this.waitingRoom.taken + this.conversions.size + this.engine.lane.busy + this.express.busy;
  }

  /** Whether deliveries that may go either way go by express. */
  get isExpress(): boolean {
    return this.engine.isBehind(steadyMs());
  }

  /** Whether this process takes none that need a workflow. */
  get isCutOff(): boolean {
    return this.engine.isCutOff;
  }

  /** The lease to hold new deliveries under; null when this process cannot take any. */
  get holder(): string | null {
    return this.closed || this.waitingRoom.left === 0 ? null : this.lease.current;
  }

  /** How many more this process may claim now. */
  get room(): number {
    return this.holder === null ? 0 : Math.min(MAX_CLAIMED, this.waitingRoom.left);
  }

  /** True while this process will see to the delivery's first attempt without further help. */
  has(deliveryId: string): boolean {
    return (
      this.engine.lane.has(deliveryId) ||
      this.express.has(deliveryId) ||
      this.underWay.has(deliveryId) ||
      this.conversions.has(deliveryId) ||
      this.resting.has(deliveryId) ||
      this.pacer.has(deliveryId) ||
      this.recorder.keeps(deliveryId, 1)
    );
  }

  /** Takes deliveries that are held under the lease of this process. What there is no room for is given back. */
  offer(items: DispatchItem[]): void {
    const now = steadyMs();
    const refused: string[] = [];
    const { isExpress } = this;
    for (const item of items) {
      if (this.closed || !(item.ahead || this.waitingRoom.isThereFor(item))) {
        refused.push(item.deliveryId);
        continue;
      }
      if (item.auto || !item.express) this.engine.arrivedOne();
      if (item.express) this.express.queue.push(item, now, item.ahead);
      else if (item.auto && isExpress) this.conversions.add(item);
      else {
        this.engine.lane.queue.push(item, now, item.ahead);
        this.autoWaits ||= item.auto;
      }
    }
    if (refused.length > 0) this.giveBack(refused);
    this.pump();
  }

  /** One that waits here is the next of its endpoint. */
  advance(deliveryId: string, endpointId: string): void {
    for (const { queue } of [this.engine.lane, this.express]) queue.advance(deliveryId, endpointId);
  }

  /** Backlogs leave room to what is about to be offered, until it was. @returns what to call then */
  expect(): () => void {
    this.coming += 1;
    return () => {
      this.coming -= 1;
      if (this.coming === 0) this.pump();
    };
  }

  /** An attempt of this delivery begins in this process: its place among the starts is free. */
  attempting(deliveryId: string): void {
    this.engine.attempting(deliveryId);
  }

  private giveBack(ids: string[]): void {
    const lease = this.lease.current;
    if (lease === null) return;
    this.database
      .prepared(
        'give_back',
        `UPDATE deliveries d SET lease = NULL, due_at = now() WHERE id = ANY ($1::uuid[]) AND lease = $2 AND ${UNTRIED}`,
        [ids, lease],
      )
      // They come due some time anyway.
      .catch((error: unknown) => this.logger.debug({ err: error }, 'deliveries could not be given back'));
  }

  private pump(): void {
    if (this.closed || this.lease.current === null) return;
    const now = steadyMs();
    if (this.autoWaits && this.isExpress) {
      this.autoWaits = false;
      for (const item of this.engine.lane.queue.remove(({ auto }) => auto, now)) this.conversions.add(item);
    }
    this.leavesRoom = this.engine.lane.queue.lightIsExpected(now) || this.express.queue.lightIsExpected(now);
    const room = { leaves: this.leavesRoom, lightIsComing: this.coming > 0 };
    const mayGo = (endpointId: string) => this.mayGo(endpointId, now);
    // The engine has its own places, and few.
    const mayGoByExpress: MayGo = (endpointId, accountId) =>
      this.underWay.hasShare(endpointId, accountId) && mayGo(endpointId);
    for (;;) {
      const item = this.engine.take(now, room, mayGo);
      if (!item) break;
      this.begin(item, this.engine.start(item));
    }
    while (!this.underWay.isFull) {
      const item = this.express.take(now, room, mayGoByExpress);
      if (!item) break;
      this.begin(item, this.attempt(item));
    }
  }

  /** @param work resolves with the delivery when it must be tried again */
  private begin(item: DispatchItem, work: Promise<DispatchItem | undefined>): void {
    const { deliveryId } = item;
    this.underWay.add(item, work, (again) => {
      this.engine.lane.free(deliveryId);
      this.express.free(deliveryId);
      if (again && this.closed) this.giveBack([deliveryId]);
      else if (again) {
        (again.express ? this.express : this.engine.lane).queue.push(again, steadyMs(), true);
        this.autoWaits ||= again.auto && !again.express;
      }
      this.pump();
    });
  }

  private mayGo(endpointId: string, now: number): boolean {
    const pace = this.pacer.of(endpointId);
    if (this.pacer.isCrowded(pace)) return false;
    const { perSecond } = pace.limits;
    if (perSecond !== null) this.reserveFor(pace, perSecond);
    const opensAt = pace.opensAt(now);
    if (opensAt <= now) return true;
    if (opensAt !== Infinity) this.wakeAt(endpointId, opensAt, now);
    return false;
  }

  private reserveFor(pace: EndpointPace, perSecond: number): void {
    const { endpointId } = pace;
    const ahead = Math.ceil(perSecond * RESERVE_AHEAD_S);
    const waiting = this.engine.lane.queue.waitingFor(endpointId) + this.express.queue.waitingFor(endpointId);
    const wanted = Math.min(ahead, waiting) - pace.reserved;
    if (wanted <= 0 || pace.reserved > ahead / 2 || this.reserving.has(endpointId)) return;
    this.reserving.add(endpointId);
    this.pacer
      .reserve(pace, wanted)
      .catch((error: unknown) =>
        this.logger.debug({ err: error, endpointId }, 'no moments could be reserved'),
      )
      .finally(() => {
        this.reserving.delete(endpointId);
        this.letGo(endpointId);
        this.pump();
      });
  }

  private wakeAt(endpointId: string, atMs: number, now: number): void {
    clearTimeout(this.timers.get(endpointId));
    const timer = setTimeout(
      () => {
        this.timers.delete(endpointId);
        this.letGo(endpointId);
        this.pump();
      },
      Math.min(atMs - now, CHORES_EVERY_MS),
    );
    this.timers.set(endpointId, timer);
  }

  private letGo(endpointId: string): void {
    const now = steadyMs();
    this.engine.lane.queue.unpark(endpointId, now);
    this.express.queue.unpark(endpointId, now);
  }

  /** The first attempt without a workflow: only one that is not done by it gets one. */
  private async attempt(item: DispatchItem): Promise<DispatchItem | undefined> {
    const { deliveryId } = item;
    this.pacer.enter(deliveryId, item.endpointId, item.accountId);
    const slow = setTimeout(
      () => {
        this.express.free(deliveryId);
        this.pump();
      },
      this.express.isOfBacklog(deliveryId) ? SLOW_AFTER_MS.backlog : SLOW_AFTER_MS.light,
    );
    try {
      const request = {
        deliveryId: toId('delivery', deliveryId),
        number: 1,
        trigger: 'schedule' as const,
        budget: UNSPENT,
        jitter: Math.random() * 2 - 1,
        ...(item.crowdedOut === undefined ? {} : { crowdedOut: item.crowdedOut }),
      };
      const lease = this.lease.current;
      const result = await this.attempter.attempt(deliveryId, request, lease);
      this.failures.delete(deliveryId);
      return this.goOn(item, result, lease) ? undefined : item;
    } catch (error) {
      this.logger.warn({ err: error, deliveryId }, 'a first attempt could not be made; it is tried again');
      const failures = (this.failures.get(deliveryId) ?? 0) + 1;
      this.failures.set(deliveryId, failures);
      const inMs = Math.min(TRY_AGAIN_MS.first * 2 ** (failures - 1), TRY_AGAIN_MS.most);
      this.express.free(deliveryId);
      await sleep(this.closed ? 0 : inMs);
      return item;
    } finally {
      clearTimeout(slow);
    }
  }

  /** @returns false when the attempt is still to be made */
  private goOn(item: DispatchItem, result: AttemptResult, lease: string | null): boolean {
    switch (result.kind) {
      case 'deferred': {
        if (result.crowdedOut !== undefined) {
          if (this.closed) return false;
          // One that is uncertain for a moment may be renewed; where it has ended, what rests is forgotten.
          if ((this.lease.current ?? lease) === lease)
            this.resting.add({ ...item, crowdedOut: result.crowdedOut }, result.waitMs);
          return true;
        }
        const pace = this.pacer.of(item.endpointId);
        if (result.slotAtMs !== undefined) pace.addSlots([fromSystemMs(result.slotAtMs)]);
        return false;
      }
      case 'made':
        this.metrics.firstAttempt('express');
        if (result.decision.kind === 'retry' && result.recorded)
          this.handOver.offer(item, result.attempt, result.decision.delayMs);
        return true;
      case 'held':
        // It may have come back to this process under a new lease, while it still waited here under the one that ended.
        return this.lease.current === lease;
      // The record says what becomes of it.
      case 'ended':
        return true;
    }
  }

  /** What nothing else brings about: limits that were changed elsewhere, a lease that holds again, an engine that is back. */
  private async doChores(): Promise<void> {
    const now = steadyMs();
    // Also when nothing comes: a rate is measured over its second, not until the next delivery.
    this.engine.isBehind(now);
    if (this.engine.isCutOff)
      this.giveBack((await this.engine.whileCutOff()).map(({ deliveryId }) => deliveryId));
    const parked = new Set([...this.engine.lane.queue.parked, ...this.express.queue.parked]);
    if (parked.size > 0) {
      await this.pacer
        .refresh([...parked])
        .catch((error: unknown) => this.logger.debug({ err: error }, 'limits could not be read'));
      for (const endpointId of parked) this.letGo(endpointId);
    }
    if (now - this.prunedAtMs >= PRUNE_EVERY_MS) {
      this.prunedAtMs = now;
      this.pacer.prune((endpointId) => parked.has(endpointId));
    }
    this.pump();
  }
}
