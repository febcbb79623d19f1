import { Tally } from '../common/tally.js';

/** Deliveries that come back after a while, and wait for nothing else until then. */
export class Resting<Item extends { deliveryId: string; accountId: string }> {
  private readonly timers = new Map<string, NodeJS.Timeout>();
  private readonly byAccount = new Tally();

  /** @param back what is done with each when its time has come */
  constructor(private readonly back: (item: Item) => void) {}

  get size(): number {
    return this.timers.size;
  }

  has(deliveryId: string): boolean {
    return this.timers.has(deliveryId);
  }

  of(accountId: string): number {
    return this.byAccount.of(accountId);
  }

  add(item: Item, forMs: number): void {
    const before = this.timers.get(item.deliveryId);
    if (before) clearTimeout(before);
    else this.byAccount.add(item.accountId);
    const timer = setTimeout(() => {
      this.timers.delete(item.deliveryId);
      this.byAccount.add(item.accountId, -1);
      this.back(item);
    }, forMs);
    this.timers.set(item.deliveryId, timer);
  }

  /** Forgets all of them. @returns their ids */
  clear(): string[] {
    const ids = [...this.timers.keys()];
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.timers.clear();
    this.byAccount.clear();
    return ids;
  }
}
