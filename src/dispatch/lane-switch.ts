/** Waiting for the engine past which new deliveries go by express. */
const HIGH = 64;
/** What may wait when the engine takes over again. */
const LOW = 8;
/** For how long it must have been quiet before that. */
const QUIET_MS = 2_000;
/** Share of what the engine was seen to do that must cover what arrives. */
const HEADROOM = 0.6;
/** Deliveries a second that any engine is taken to do until it was seen at its limit. */
const LEAST_PER_SECOND = 50;

/**
 * Which way a delivery goes that may go either: through the engine while that keeps up, by express for what would wait
 * behind it. Goes over at once and comes back slowly, so that it does not swing.
 */
export class LaneSwitch {
  private express = false;
  private capacity = LEAST_PER_SECOND;
  private windowAtMs: number;
  private arrived = 0;
  private begun = 0;
  /** Whether something waited for the engine all through the window. */
  private saturated = true;
  private quietSinceMs: number;
  private awayUntilMs = 0;

  constructor(nowMs: number) {
    this.windowAtMs = nowMs;
    this.quietSinceMs = nowMs;
  }

  /** @param waiting deliveries that wait for the engine and for nothing else */
  isExpress(nowMs: number, waiting: number): boolean {
    this.roll(nowMs);
    if (waiting === 0) this.saturated = false;
    if (nowMs < this.awayUntilMs || waiting > HIGH) {
      this.express = true;
      this.quietSinceMs = nowMs;
    } else if (waiting > LOW) {
      this.quietSinceMs = nowMs;
    } else if (this.express && nowMs - this.quietSinceMs >= QUIET_MS) {
      this.express = false;
    }
    return this.express;
  }

  arrivedOne(): void {
    this.arrived += 1;
  }

  begunOne(): void {
    this.begun += 1;
  }

  /** The engine cannot be reached. */
  away(untilMs: number): void {
    this.awayUntilMs = untilMs;
  }

  private roll(nowMs: number): void {
    const elapsedMs = nowMs - this.windowAtMs;
    if (elapsedMs < 1_000) return;
    const perSecond = 1_000 / elapsedMs;
    if (this.saturated && !this.express && this.begun > 0) {
      this.capacity = Math.max(LEAST_PER_SECOND, this.begun * perSecond);
    }
    if (this.arrived * perSecond > this.capacity * HEADROOM) this.quietSinceMs = nowMs;
    this.windowAtMs = nowMs;
    this.arrived = 0;
    this.begun = 0;
    this.saturated = true;
  }
}
