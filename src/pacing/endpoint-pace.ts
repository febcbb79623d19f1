import type { EndpointLimits } from './limits.js';
import { UNLIMITED } from './limits.js';

/** How late a reserved moment may be used. Later ones are lost: made up for, they would arrive as a burst. */
const SLOT_GRACE_MS = 200;
/** Weight of the latest attempt in the mean duration. */
const SMOOTHING = 0.2;

/**
 * What one process knows of one endpoint's pace: how many attempts it has under way, which moments are reserved for it,
 * and until when the receiver has asked for quiet. All times are unix milliseconds of this process.
 */
export class EndpointPace {
  inFlight = 0;
  limits: EndpointLimits = UNLIMITED;
  /** No attempt before this: the latest `Retry-After`. */
  notBeforeMs = 0;
  usedAtMs = 0;
  private slots: number[] = [];
  private meanMs = 0;
  private spacedUntilMs = 0;

  constructor(readonly endpointId: string) {}

  /** Takes over what the database says. What was reserved at another rate is worth nothing. */
  learn(limits: EndpointLimits, notBeforeMs: number): void {
    if (limits.perSecond !== this.limits.perSecond || limits.burst !== this.limits.burst) this.slots = [];
    this.limits = limits;
    this.notBeforeMs = Math.max(this.notBeforeMs, notBeforeMs);
  }

  /** Moments that were reserved, the soonest first. */
  addSlots(slots: number[]): void {
    this.slots.push(...slots);
    this.slots.sort((a, b) => a - b);
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
    if (this.inFlight >= this.limits.maxInFlight) return Infinity;
    if (this.limits.perSecond === null) return this.notBeforeMs;
    while (this.slots[0] !== undefined && this.slots[0] < nowMs - SLOT_GRACE_MS) this.slots.shift();
    return Math.max(this.notBeforeMs, this.slots[0] ?? Infinity);
  }

  /** @returns whether a reserved moment was spent on it */
  enter(nowMs: number): boolean {
    this.inFlight += 1;
    this.usedAtMs = nowMs;
    return this.limits.perSecond !== null && this.slots.shift() !== undefined;
  }

  leave(nowMs: number, durationMs: number | null): void {
    this.inFlight -= 1;
    this.usedAtMs = nowMs;
    if (durationMs === null) return;
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
    this.spacedUntilMs = Math.max(nowMs + leastMs, this.spacedUntilMs + apartMs);
    return this.spacedUntilMs;
  }
}
