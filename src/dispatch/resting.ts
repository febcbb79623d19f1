/** Deliveries that come back after a while, and wait for nothing else until then. */
export class Resting<Item extends { deliveryId: string }> {
  private readonly timers = new Map<string, NodeJS.Timeout>();

  /** @param back what is done with each when its time has come */
  constructor(private readonly back: (item: Item) => void) {}

  get size(): number {
    return this.timers.size;
  }

  has(deliveryId: string): boolean {
    return this.timers.has(deliveryId);
  }

  add(item: Item, forMs: number): void {
    clearTimeout(this.timers.get(item.deliveryId));
    const timer = setTimeout(() => {
      this.timers.delete(item.deliveryId);
      this.back(item);
    }, forMs);
    this.timers.set(item.deliveryId, timer);
  }

  /** Forgets all of them: they are somebody else's now. */
  clear(): void {
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.timers.clear();
  }
}
