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
  private readonly all: Seconds;
  private readonly outages: Seconds;
  private readonly endpoints = new Map<string, Seconds>();
  private prunedAtS = 0;

  constructor(private readonly limits: RetryLimits) {
    this.all = new Seconds(limits.all);
    this.outages = new Seconds(limits.outage);
  }

  /**
   * @param inOutage whether the receiver gives no answer
   * @returns milliseconds from now, `delayMs` or more
   */
  place(endpointId: string, delayMs: number, nowMs: number, inOutage = false): number {
    this.prune(Math.floor(nowMs / 1000));
    const counted = [this.all, this.endpoint(endpointId)];
    if (inOutage) counted.push(this.outages);
    const wantedS = Math.floor((nowMs + delayMs) / 1000);
    const second = Math.min(firstWithRoom(counted, wantedS), wantedS + HORIZON_S);
    for (const planned of counted) planned.add(second);
    return delayMs + (second - wantedS) * 1000;
  }

  private endpoint(endpointId: string): Seconds {
    const planned = this.endpoints.get(endpointId) ?? new Seconds(this.limits.endpoint);
    this.endpoints.set(endpointId, planned);
    return planned;
  }

  private prune(nowS: number): void {
    if (nowS - this.prunedAtS < 60) return;
    this.prunedAtS = nowS;
    this.all.forgetBefore(nowS);
    this.outages.forgetBefore(nowS);
    for (const [endpointId, planned] of this.endpoints) {
      planned.forgetBefore(nowS);
      if (planned.isEmpty) this.endpoints.delete(endpointId);
    }
  }
}

function firstWithRoom(counted: Seconds[], fromS: number): number {
  for (let second = fromS; ;) {
    const later = Math.max(...counted.map((planned) => planned.firstWithRoom(second)));
    if (later === second) return second;
    second = later;
  }
}

/** How many retries are planned for each second. */
class Seconds {
  private readonly counts = new Map<number, number>();
  /** Of full seconds, a later one that may have room: a long row of them is not walked twice. */
  private readonly after = new Map<number, number>();

  /** @param most of one second */
  constructor(private readonly most: number) {}

  get isEmpty(): boolean {
    return this.counts.size === 0;
  }

  add(second: number): void {
    this.counts.set(second, (this.counts.get(second) ?? 0) + 1);
  }

  /** `fromS`, or the first second after it that has room. */
  firstWithRoom(fromS: number): number {
    const walked: number[] = [];
    let second = fromS;
    while ((this.counts.get(second) ?? 0) >= this.most) {
      walked.push(second);
      second = this.after.get(second) ?? second + 1;
    }
    for (const full of walked) this.after.set(full, second);
    return second;
  }

  forgetBefore(second: number): void {
    for (const seconds of [this.counts, this.after])
      for (const each of seconds.keys()) if (each < second) seconds.delete(each);
  }
}
