import { setTimeout as sleep } from 'node:timers/promises';

export interface Collect {
  keys: string[];
  /** Gives up once nothing at all has arrived for so long; 0 does not wait. */
  stalledAfterMs: number;
  /** Waits for so long after the last one: within it a second arrival would show. */
  settleMs: number;
}

/** What became of the deliveries that were asked for. */
export interface Collected {
  /** When each first arrived, in the order asked for; NaN: it did not. */
  atMs: number[];
  /** Arrivals beyond the first one of each. */
  twice: number;
}

interface Waiting {
  missing: Set<string>;
  resolve: () => void;
}

/** When each delivery first arrived, and how often. */
export class Ledger {
  private readonly firsts = new Map<string, number>();
  private readonly again = new Map<string, number>();
  private readonly waiting = new Set<Waiting>();
  private arrivals = 0;

  note(key: string, atMs: number): void {
    this.arrivals += 1;
    if (this.firsts.has(key)) {
      this.again.set(key, (this.again.get(key) ?? 0) + 1);
      return;
    }
    this.firsts.set(key, atMs);
    for (const waiting of this.waiting) {
      if (waiting.missing.delete(key) && waiting.missing.size === 0) waiting.resolve();
    }
  }

  /** Waits until all have arrived, or gives up; forgets them in any case. */
  async collect({ keys, stalledAfterMs, settleMs }: Collect): Promise<Collected> {
    await this.untilAllOrStalled(
      keys.filter((key) => !this.firsts.has(key)),
      stalledAfterMs,
    );
    await sleep(settleMs);
    const atMs = keys.map((key) => this.firsts.get(key) ?? Number.NaN);
    const twice = keys.reduce((sum, key) => sum + (this.again.get(key) ?? 0), 0);
    for (const key of keys) {
      this.firsts.delete(key);
      this.again.delete(key);
    }
    return { atMs, twice };
  }

  private async untilAllOrStalled(missing: string[], stalledAfterMs: number): Promise<void> {
    if (missing.length === 0 || stalledAfterMs === 0) return;
    await new Promise<void>((resolve) => {
      let seen = this.arrivals;
      const done = () => {
        clearInterval(timer);
        this.waiting.delete(waiting);
        resolve();
      };
      const timer = setInterval(() => {
        if (seen === this.arrivals) done();
        seen = this.arrivals;
      }, stalledAfterMs);
      const waiting = { missing: new Set(missing), resolve: done };
      this.waiting.add(waiting);
    });
  }
}
