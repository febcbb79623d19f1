/** What waits, by whom it is for: each of them in turn, so that who has much to do lets the others in between. */
export class Turns<Item> {
  private readonly queues = new Map<string, Item[]>();
  private count = 0;

  get size(): number {
    return this.count;
  }

  add(owner: string, item: Item): void {
    this.count += 1;
    const queue = this.queues.get(owner);
    if (queue) queue.push(item);
    else this.queues.set(owner, [item]);
  }

  /** Takes the next one. @param resting owners whose turn it is not to be */
  take(resting?: ReadonlySet<string>): { owner: string; item: Item } | null {
    for (const [owner, queue] of this.queues) {
      if (resting?.has(owner)) continue;
      const item = queue.shift();
      // To the end of the round.
      this.queues.delete(owner);
      if (queue.length > 0) this.queues.set(owner, queue);
      if (item === undefined) continue;
      this.count -= 1;
      return { owner, item };
    }
    return null;
  }

  /** Takes out one that no longer waits. */
  remove(owner: string, item: Item): void {
    const queue = this.queues.get(owner);
    const place = queue?.indexOf(item) ?? -1;
    if (!queue || place === -1) return;
    queue.splice(place, 1);
    this.count -= 1;
    if (queue.length === 0) this.queues.delete(owner);
  }

  /** Takes all. */
  drain(): Item[] {
    const items = [...this.queues.values()].flat();
    this.queues.clear();
    this.count = 0;
    return items;
  }
}
