/** Seconds that are kept in view; what is planned further ahead has its jitter alone. */
const HORIZON_S = 7 * 24 * 3600;

/** Retries that may be planned for one second. */
export interface RetryLimits {
  all: number;
  /** Of these, to one receiver. */
  endpoint: number;
  /** Of these, to receivers that give no answer: whoever fails now and then is not to wait behind an outage. */
  outage: number;
}

/**
 * Spreads retries over the seconds they fall into, so that what failed together does not come back together: an outage
 * of one receiver, or of many, is worked off at a rate that leaves fresh deliveries their own. Full seconds push a
 * retry back, never forward.
 */
export class RetrySpread {
  /** Retries planned, by what they count for and unix second: `<what>/<second>`. */
  private readonly planned = new Map<string, number>();
  private prunedAtS = 0;

  constructor(private readonly limits: RetryLimits) {}

  /**
   * @param inOutage whether the receiver gives no answer
   * @returns milliseconds from now, `delayMs` or more
   */
  place(endpointId: string, delayMs: number, nowMs: number, inOutage = false): number {
    this.prune(Math.floor(nowMs / 1000));
    const { all, endpoint, outage } = this.limits;
    const counts: [what: string, most: number][] = [
      ['all', all],
      [endpointId, endpoint],
    ];
    if (inOutage) counts.push(['outage', outage]);
    const wantedS = Math.floor((nowMs + delayMs) / 1000);
    let second = wantedS;
    while (second - wantedS < HORIZON_S && counts.some(([what, most]) => this.at(what, second) >= most))
      second += 1;
    for (const [what] of counts) this.planned.set(`${what}/${second}`, this.at(what, second) + 1);
    return delayMs + (second - wantedS) * 1000;
  }

  private at(what: string, second: number): number {
    return this.planned.get(`${what}/${second}`) ?? 0;
  }

  private prune(nowS: number): void {
    if (nowS - this.prunedAtS < 60) return;
    this.prunedAtS = nowS;
    for (const key of this.planned.keys()) {
      if (Number(key.slice(key.indexOf('/') + 1)) < nowS) this.planned.delete(key);
    }
  }
}
