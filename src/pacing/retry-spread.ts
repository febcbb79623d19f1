/** Seconds that are kept in view; what is planned further ahead has its jitter alone. */
const HORIZON_S = 7 * 24 * 3600;

/**
 * Spreads retries over the seconds they fall into, so that what failed together does not come back together: an outage
 * of one receiver, or of many, is worked off at a rate that leaves fresh deliveries their own. Full seconds push a
 * retry back, never forward.
 */
export class RetrySpread {
  /** Retries planned, by unix second. */
  private readonly planned = new Map<number, number>();
  /** The same for each endpoint, by `<endpoint>/<second>`. */
  private readonly plannedFor = new Map<string, number>();
  private prunedAtS = 0;

  /** @param perSecond of all retries, `perEndpoint` of those to one receiver */
  constructor(
    private readonly perSecond: number,
    private readonly perEndpoint: number,
  ) {}

  /** @returns milliseconds from now, `delayMs` or more */
  place(endpointId: string, delayMs: number, nowMs: number): number {
    this.prune(Math.floor(nowMs / 1000));
    const wantedS = Math.floor((nowMs + delayMs) / 1000);
    let second = wantedS;
    while (second - wantedS < HORIZON_S && this.isFull(endpointId, second)) second += 1;
    this.planned.set(second, (this.planned.get(second) ?? 0) + 1);
    const key = `${endpointId}/${second}`;
    this.plannedFor.set(key, (this.plannedFor.get(key) ?? 0) + 1);
    return delayMs + (second - wantedS) * 1000;
  }

  private isFull(endpointId: string, second: number): boolean {
    return (
      (this.planned.get(second) ?? 0) >= this.perSecond ||
      (this.plannedFor.get(`${endpointId}/${second}`) ?? 0) >= this.perEndpoint
    );
  }

  private prune(nowS: number): void {
    if (nowS - this.prunedAtS < 60) return;
    this.prunedAtS = nowS;
    for (const second of this.planned.keys()) if (second < nowS) this.planned.delete(second);
    for (const key of this.plannedFor.keys()) {
      if (Number(key.slice(key.indexOf('/') + 1)) < nowS) this.plannedFor.delete(key);
    }
  }
}
