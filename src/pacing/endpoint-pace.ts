import type { EndpointLimits } from './limits.js';
import { UNLIMITED } from './limits.js';

/** How late a reserved moment may be used. Later ones are lost: made up for, they would arrive as a burst. */
const SLOT_GRACE_MS = 200;
/**
 * Attempts of a fast receiver that may be loaded and signed while all its places are taken. Where there are few places
 * it would only shuffle the order.
 */
const AHEAD = 32;
/** Mean duration up to which a receiver counts as fast: whoever was loaded for it is sent within moments. */
const FAST_MS = 50;
/** Mean duration from which a receiver counts as slow: its attempts are spaced. */
const SLOW_MS = 250;
/** Attempts of a receiver that has not answered yet: so many at first, and one more with each of these times. */
const UNKNOWN = { atFirst: 4, oneMoreEachMs: 50 };
/**
 * Attempts without an answer in a row from which a receiver counts as failing. Its first attempts are so far apart then,
 * and twice as far with each further one.
 */
const FAILING = { from: 5, apartMs: 500, mostMs: 5_000 };
/** The resolution of timers. */
const TICK_MS = 1;
/** How late one that found no room comes back at most: the receiver may have become faster. */
const MOST_SPACED_MS = 300_000;
/** Weight of the latest attempt in the mean duration. */
const SMOOTHING = 0.2;

/** What an attempt met with. */
export interface Met {
  durationMs: number;
  /** No whole answer came. A receiver that answers 503 is alive: its next answer may be another. */
  failed: boolean;
}

/**
 * What one process knows of one endpoint's pace: how many attempts it has under way, which moments are reserved for it,
 * and until when the receiver has asked for quiet. All times are milliseconds by a clock that
 * nobody sets.
 */
export class EndpointPace {
  /** Attempts that are being made, from their load to the end of their answer. */
  entered = 0;
  /** Of these, requests that are out. */
  inFlight = 0;
  limits: EndpointLimits = UNLIMITED;
  /** Attempts under way at once that the account's plan allows; null without a limit. */
  mostInFlight: number | null = null;
  /** No attempt before this: the latest `Retry-After`. */
  notBeforeMs = 0;
  usedAtMs = 0;
  private busySinceMs = 0;
  private lastTurnMs = 0;
  private slots: number[] = [];
  private meanMs = 0;
  private failuresInARow = 0;
  private spacedUntilMs = 0;
  private readonly waiting = new Set<() => void>();

  /** Whose it is; empty until that is known. */
  accountId = '';

  constructor(readonly endpointId: string) {}

  /** Takes over what the database says. What was reserved at another rate is worth nothing. */
  learn(limits: EndpointLimits, notBeforeMs: number): void {
    if (limits.perSecond !== this.limits.perSecond || limits.burst !== this.limits.burst) this.slots = [];
    this.limits =
      this.mostInFlight !== null && limits.maxInFlight > this.mostInFlight
        ? { ...limits, maxInFlight: this.mostInFlight }
        : limits;
    this.notBeforeMs = Math.max(this.notBeforeMs, notBeforeMs);
  }

  /** Moments that were reserved, the soonest first. */
  addSlots(slots: number[]): void {
    this.slots.push(...slots);
    this.slots.sort((a, b) => a - b);
  }

  /** How long the receiver takes to answer; 0 while it has not answered yet. */
  get usualMs(): number {
    return this.meanMs;
  }

  /** Whether the receiver gave no answer more than once, and none since. */
  get inOutage(): boolean {
    return this.failuresInARow > 1;
  }

  get reserved(): number {
    return this.slots.length;
  }

  /**
   * When the next attempt may begin.
   *
   * @returns a moment; `Infinity` when it is not for the clock to say: an attempt must end or a moment be reserved first
   */
  opensAt(nowMs: number): number {
    const { maxInFlight } = this.limits;
    if (this.meanMs === 0) {
      const most = UNKNOWN.atFirst + Math.floor((nowMs - this.busySinceMs) / UNKNOWN.oneMoreEachMs);
      if (this.entered >= maxInFlight) return Infinity;
      if (this.entered >= most) return nowMs + UNKNOWN.oneMoreEachMs;
    } else {
      if (this.entered >= maxInFlight + (this.isFast && maxInFlight >= AHEAD ? AHEAD : 0)) return Infinity;
    }
    const turnMs = this.lastTurnMs + this.apartMs;
    if (turnMs >= nowMs + TICK_MS) return Math.max(turnMs, this.notBeforeMs);
    if (this.limits.perSecond === null) return this.notBeforeMs;
    while (this.slots[0] !== undefined && this.slots[0] < nowMs - SLOT_GRACE_MS) this.slots.shift();
    return Math.max(this.notBeforeMs, this.slots[0] ?? Infinity);
  }

  /** How far apart attempts begin. */
  private get apartMs(): number {
    // Whoever waits has lost nothing yet, and goes at full speed once an attempt succeeds.
    const { failuresInARow } = this;
    if (failuresInARow >= FAILING.from)
      return Math.min(FAILING.apartMs * 2 ** (failuresInARow - FAILING.from), FAILING.mostMs);
    // Evenly, so that what begins together does not end together, again and again.
    return this.meanMs < SLOW_MS ? 0 : this.meanMs / this.limits.maxInFlight;
  }

  /** @returns whether a reserved moment was spent on it */
  enter(nowMs: number): boolean {
    if (this.entered === 0) this.busySinceMs = nowMs;
    this.entered += 1;
    // Where several turns fall into one tick, each counts from the one before.
    const turnMs = this.lastTurnMs + this.apartMs;
    this.lastTurnMs = turnMs > nowMs && turnMs < nowMs + TICK_MS ? turnMs : nowMs;
    this.usedAtMs = nowMs;
    return this.limits.perSecond !== null && this.slots.shift() !== undefined;
  }

  /** Whether a place comes free within moments, so that it is worth waiting for one. */
  get isFast(): boolean {
    return this.meanMs > 0 && this.meanMs <= FAST_MS;
  }

  get hasRoom(): boolean {
    return this.inFlight < this.limits.maxInFlight;
  }

  /** Takes a place for a request, as soon as there is one. @returns false when there was none in time */
  async send(withinMs: number): Promise<boolean> {
    if (this.hasRoom) {
      this.inFlight += 1;
      return true;
    }
    return new Promise((resolve) => {
      const granted = () => {
        clearTimeout(timer);
        resolve(true);
      };
      const timer = setTimeout(() => {
        this.waiting.delete(granted);
        resolve(false);
      }, withinMs);
      this.waiting.add(granted);
    });
  }

  /** Gives back a place that {@link send} took. Whoever waits for one gets it. */
  giveBack(): void {
    const [next] = this.inFlight <= this.limits.maxInFlight ? this.waiting : [];
    if (next) {
      this.waiting.delete(next);
      next();
    } else this.inFlight -= 1;
  }

  /**
   * @param sent whether it had taken a place by {@link send}
   * @param met null when nothing was sent
   */
  leave(nowMs: number, sent: boolean, met: Met | null): void {
    this.entered -= 1;
    this.usedAtMs = nowMs;
    if (sent) this.giveBack();
    if (met === null) return;
    const { durationMs, failed } = met;
    this.failuresInARow = failed ? this.failuresInARow + 1 : 0;
    this.meanMs = this.meanMs === 0 ? durationMs : this.meanMs + (durationMs - this.meanMs) * SMOOTHING;
  }

  /**
   * The turn of one that found no room: as far apart as attempts of this endpoint end, so that those who come back
   * find some.
   *
   * @param leastMs from now
   */
  spaced(nowMs: number, leastMs: number): number {
    const apartMs = Math.max(this.meanMs, 1) / this.limits.maxInFlight;
    const atMs = Math.max(nowMs + leastMs, this.spacedUntilMs + apartMs);
    this.spacedUntilMs = Math.min(atMs, nowMs + Math.max(leastMs, MOST_SPACED_MS));
    return this.spacedUntilMs;
  }
}
