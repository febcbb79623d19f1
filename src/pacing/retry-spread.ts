/** Seconds that are kept in view; what is planned further ahead has its jitter alone. */
const HORIZON_S = 7 * 24 * 3600;
/** An account with so many planned for a second has more than a few there. */
const MANY = 2;

/** Retries that may be planned for one second. */
export interface RetryLimits {
  all: number;
  /** Of these, to one receiver. */
  endpoint: number;
  /** Of these, to receivers that give no answer: whoever fails now and then is not to wait behind an outage. */
  outage: number;
  /** Of these, what is left to accounts with only a few in that second. */
  few: number;
}

/**
 * Spreads retries over the seconds they fall into, so that what failed together does not come back together: an outage
 * of one receiver, or of many, is worked off at a rate that leaves fresh deliveries their own. Full seconds push a
 * retry back, never forward; and what one account has planned, however much, does not push back the few of another.
 */
export class RetrySpread {
  private readonly shared: Seconds;
  private readonly few: Seconds;
  private readonly outages: Seconds;
  private readonly endpoints = new Map<string, Seconds>();
  private readonly accounts = new Map<string, Seconds>();
  private prunedAtS = 0;

  constructor(private readonly limits: RetryLimits) {
    this.shared = new Seconds(limits.all - limits.few);
    this.few = new Seconds(limits.few);
    this.outages = new Seconds(limits.outage);
  }

  /**
   * @param inOutage whether the receiver gives no answer
   * @returns milliseconds from now, `delayMs` or more
   */
  place(
    { account_id: accountId, endpoint_id: endpointId }: { account_id: string; endpoint_id: string },
    delayMs: number,
    nowMs: number,
    inOutage = false,
  ): number {
    this.prune(Math.floor(nowMs / 1000));
    const wantedS = Math.floor((nowMs + delayMs) / 1000);
    const endpoint = secondsOf(this.endpoints, endpointId, this.limits.endpoint);
    const account = secondsOf(this.accounts, accountId, MANY);
    const ways = [inOutage ? [this.shared, endpoint, this.outages] : [this.shared, endpoint]];
    if (this.limits.few > 0) ways.push([this.few, endpoint, account]);
    const [counted, second] = soonest(ways, wantedS);
    for (const planned of new Set([...counted, account])) planned.add(second);
    return delayMs + (second - wantedS) * 1000;
  }

  private prune(nowS: number): void {
    if (nowS - this.prunedAtS < 60) return;
    this.prunedAtS = nowS;
    for (const planned of [this.shared, this.few, this.outages]) planned.forgetBefore(nowS);
    for (const each of [this.endpoints, this.accounts])
      for (const [id, planned] of each) {
        planned.forgetBefore(nowS);
        if (planned.isEmpty) each.delete(id);
      }
  }
}

function secondsOf(known: Map<string, Seconds>, id: string, most: number): Seconds {
  const planned = known.get(id) ?? new Seconds(most);
  known.set(id, planned);
  return planned;
}

/** The one of several ways to be counted that comes first. */
function soonest(ways: Seconds[][], wantedS: number): [Seconds[], number] {
  const found = ways.map((counted): [Seconds[], number] => [
    counted,
    Math.min(firstWithRoom(counted, wantedS), wantedS + HORIZON_S),
  ]);
  return found.reduce((best, next) => (next[1] < best[1] ? next : best));
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
