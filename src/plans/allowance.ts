/** How much an account may publish. At least one of them is not null. */
export interface PublishLimits {
  perSecond: number | null;
  /** Events at once after a quiet time. */
  burst: number;
  perDay: number | null;
}

/** What a process asks of the row that all share. */
export interface Ask {
  /** Events that somebody waits for. */
  needed: number;
  /** Events that are likely to be published soon, asked for ahead. */
  extra: number;
  /** Events that were granted before and not published. */
  returned: number;
  /** What of them the rate has not paid for since they were granted; fractions count. */
  unpaid: number;
}

/** What the row answered. */
export interface Grant {
  granted: number;
  /** Events handed out that the rate has not paid for yet, this grant included; fractions count. */
  debt: number;
  /** Events handed out today, this grant included. */
  used: number;
  /** Today in UTC, `YYYY-MM-DD`. */
  day: string;
  /** Milliseconds until it ends. */
  dayLeftMs: number;
}

export type Verdict =
  | { kind: 'granted' }
  | { kind: 'refused'; by: 'publishPerSecond' | 'eventsPerDay'; retryMs: number }
  /** Ask the row, then decide again. */
  | { kind: 'ask' };

/**
 * How long granted events may be held at most: over any time the processes publish no more than the rate pays for in that
 * time and this much before it, beside the burst.
 */
export const HOLD_MS = 250;
/** After a refusal the row is asked no sooner again, so that a flood costs a statement now and then and no more. */
const ASK_EVERY_MS = 20;
/** Nobody can pay for a day that is used up, but another process may return some of it. */
const ASK_DAY_EVERY_MS = 1_000;

/**
 * What one process holds of one account's allowance, and when it has to ask for more. All times are milliseconds by a clock
 * that nobody sets.
 */
export class Allowance {
  private held = 0;
  private heldSinceMs = 0;
  private heldUntilMs = 0;
  private toReturn = 0;
  private unpaid = 0;
  private unpaidAtMs = 0;
  private latest: (Grant & { atMs: number }) | null = null;
  private askAgainAtMs = 0;
  private spentNow = 0;
  private spentBefore = 0;
  private windowAtMs = 0;

  constructor(private limits: PublishLimits) {}

  /** Limits that were changed are asked for at once. */
  learn(limits: PublishLimits): void {
    const before = this.limits;
    if (
      limits.perSecond === before.perSecond &&
      limits.burst === before.burst &&
      limits.perDay === before.perDay
    )
      return;
    this.limits = limits;
    this.askAgainAtMs = 0;
  }

  /** Takes from what is held. @param isAnswered whether the row has just been asked for it */
  take(count: number, nowMs: number, isAnswered = false): Verdict {
    if (!isAnswered) this.expire(nowMs);
    if (this.held >= count) {
      this.held -= count;
      this.roll(nowMs);
      this.spentNow += count;
      return { kind: 'granted' };
    }
    if (!isAnswered && nowMs >= this.askAgainAtMs) return { kind: 'ask' };
    return this.refusal(count, nowMs);
  }

  /** @param wanted events that publishes wait for */
  ask(wanted: number, nowMs: number): Ask {
    this.expire(nowMs);
    this.roll(nowMs);
    const returned = this.toReturn;
    const unpaid = this.unpaidBy(nowMs);
    this.toReturn = 0;
    this.unpaid = 0;
    return {
      needed: Math.max(0, wanted - this.held),
      extra: Math.max(this.spentBefore, this.spentNow),
      returned,
      unpaid,
    };
  }

  /** @param askedAtMs when the ask was sent: the grant counts from there */
  answered(ask: Ask, grant: Grant, askedAtMs: number): void {
    // What is held still is spent before what is new, and expires when it was to.
    const { perSecond, burst, perDay } = this.limits;
    // Shorter than the burst takes to be paid for, so that it is never exceeded by another one.
    const holdMs = perSecond === null ? HOLD_MS : Math.min(HOLD_MS, (burst / perSecond) * 1000);
    if (this.held === 0) {
      this.heldSinceMs = askedAtMs;
      this.heldUntilMs = askedAtMs + Math.min(holdMs, grant.dayLeftMs);
    }
    this.held += grant.granted;
    this.latest = { ...grant, atMs: askedAtMs };
    if (grant.granted >= ask.needed) return;
    const isDayOver = perDay !== null && grant.used >= perDay;
    const nextMs = perSecond === null ? 0 : (Math.max(0, grant.debt + 1 - burst) / perSecond) * 1000;
    const leastMs = perSecond === null ? ASK_EVERY_MS : Math.min(ASK_EVERY_MS, (burst / perSecond) * 1000);
    this.askAgainAtMs = askedAtMs + Math.max(nextMs, isDayOver ? ASK_DAY_EVERY_MS : leastMs);
  }

  /** The ask came to nothing: what it would have returned is returned by the next. @param askedAtMs when it was sent */
  failed(ask: Ask, askedAtMs: number, nowMs: number): void {
    this.returnLater(ask.returned, ask.unpaid, askedAtMs, nowMs);
  }

  /** Events that were taken and then not published. */
  giveBack(count: number, takenAtMs: number, nowMs: number): void {
    this.returnLater(count, count, takenAtMs - HOLD_MS, nowMs);
  }

  /** Whether something is to be returned by now. */
  owes(nowMs: number): boolean {
    this.expire(nowMs);
    return this.toReturn > 0;
  }

  /** Gives up what is held: the process ends. */
  release(nowMs: number): void {
    this.returnLater(this.held, this.held, this.heldSinceMs, nowMs);
    this.held = 0;
  }

  /** The day that what is to be returned was granted for; null before the first grant. */
  get day(): string | null {
    return this.latest?.day ?? null;
  }

  /** What is left of each limit, as far as this process knows; null before the first grant. */
  left(nowMs: number): { rate: Left | null; day: Left | null } | null {
    if (!this.latest) return null;
    const { perSecond, burst, perDay } = this.limits;
    const { used, dayLeftMs, atMs } = this.latest;
    const debt = this.debt(nowMs);
    return {
      rate:
        perSecond === null
          ? null
          : {
              remaining: clamp(Math.floor(burst - debt) + this.held, 0, burst),
              resetSeconds: Math.ceil(debt / perSecond),
            },
      day:
        perDay === null
          ? null
          : {
              remaining: clamp(perDay - used + this.held, 0, perDay),
              resetSeconds: Math.ceil(Math.max(0, dayLeftMs - (nowMs - atMs)) / 1000),
            },
    };
  }

  private refusal(count: number, nowMs: number): Verdict {
    const { perSecond, burst, perDay } = this.limits;
    const { used = 0, dayLeftMs = 0, atMs = nowMs } = this.latest ?? {};
    if (perDay !== null && perDay - used + this.held < count)
      return { kind: 'refused', by: 'eventsPerDay', retryMs: Math.max(0, dayLeftMs - (nowMs - atMs)) };
    const missing = this.debt(nowMs) + count - this.held - burst;
    return {
      kind: 'refused',
      by: 'publishPerSecond',
      retryMs: perSecond === null ? 0 : Math.max(0, (missing / perSecond) * 1000),
    };
  }

  private debt(nowMs: number): number {
    if (!this.latest || this.limits.perSecond === null) return 0;
    return Math.max(0, this.latest.debt - ((nowMs - this.latest.atMs) / 1000) * this.limits.perSecond);
  }

  private expire(nowMs: number): void {
    if (this.held > 0 && nowMs >= this.heldUntilMs) this.release(nowMs);
  }

  /** Time has paid for what was granted a while ago: returning that too would let it be published twice. */
  private returnLater(count: number, unpaid: number, grantedAtMs: number, nowMs: number): void {
    this.unpaid = this.unpaidBy(nowMs) + Math.max(0, unpaid - this.paidIn(nowMs - grantedAtMs));
    this.unpaidAtMs = nowMs;
    this.toReturn += count;
  }

  private unpaidBy(nowMs: number): number {
    return Math.max(0, this.unpaid - this.paidIn(nowMs - this.unpaidAtMs));
  }

  private paidIn(ms: number): number {
    return (Math.max(0, ms) / 1000) * (this.limits.perSecond ?? 0);
  }

  /** Counts what is published in times of {@link HOLD_MS}: as much is likely to be in the next. */
  private roll(nowMs: number): void {
    const passedMs = nowMs - this.windowAtMs;
    if (passedMs >= 0 && passedMs < HOLD_MS) return;
    this.spentBefore = passedMs >= 0 && passedMs < 2 * HOLD_MS ? this.spentNow : 0;
    this.spentNow = 0;
    this.windowAtMs = nowMs;
  }
}

export interface Left {
  remaining: number;
  resetSeconds: number;
}

const clamp = (value: number, least: number, most: number): number => Math.min(Math.max(value, least), most);
