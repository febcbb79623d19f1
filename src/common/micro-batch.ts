/**
 * Collects calls that arrive while earlier ones are under way and hands them over together: one statement for many
 * callers when there are many, no waiting when there is one.
 */
export class MicroBatch<Item, Result> {
  private queue: Waiting<Item, Result>[] = [];
  private running = 0;
  private idle: (() => void)[] = [];
  private lastBegunMs = 0;
  private timer: NodeJS.Timeout | undefined;

  /**
   * @param run answers every item, in order, or rejects for all of them
   * @param options `maxItems` of one hand-over, `concurrency` of hand-overs, what an item weighs against `maxWeight`,
   * and `spacingMs` between the beginnings of two hand-overs: for work that nobody waits for, so that under load there
   * are fewer and larger ones
   */
  constructor(
    private readonly run: (items: Item[]) => Promise<Result[]>,
    private readonly options: {
      maxItems: number;
      concurrency: number;
      weigh?: (item: Item) => number;
      maxWeight?: number;
      spacingMs?: number;
    },
  ) {}

  get waiting(): number {
    return this.queue.length;
  }

  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.queue.push({ item, resolve, reject });
      // A tick lets the calls of one turn of the loop come together; after that nobody is waited for.
      if (this.running < this.options.concurrency) setImmediate(() => this.pump());
    });
  }

  /** Resolves when everything added so far has been answered. */
  async drained(): Promise<void> {
    while (this.queue.length > 0 || this.running > 0) {
      await new Promise<void>((resolve) => this.idle.push(resolve));
    }
  }

  private pump(): void {
    while (this.running < this.options.concurrency && this.queue.length > 0) {
      if (this.tooSoon()) return;
      void this.handOver(this.take());
    }
  }

  private tooSoon(): boolean {
    const { spacingMs = 0, maxItems } = this.options;
    const now = Date.now();
    const leftMs = this.queue.length >= maxItems ? 0 : this.lastBegunMs + spacingMs - now;
    if (leftMs <= 0 || leftMs > spacingMs) {
      this.lastBegunMs = now;
      return false;
    }
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.pump();
    }, leftMs);
    return true;
  }

  private take(): Waiting<Item, Result>[] {
    const { maxItems, maxWeight, weigh } = this.options;
    let count = 0;
    let weight = 0;
    for (const { item } of this.queue) {
      weight += weigh?.(item) ?? 0;
      if (count === maxItems || (count > 0 && maxWeight !== undefined && weight > maxWeight)) break;
      count += 1;
    }
    return this.queue.splice(0, count);
  }

  private async handOver(batch: Waiting<Item, Result>[]): Promise<void> {
    this.running += 1;
    try {
      const results = await this.run(batch.map((waiting) => waiting.item));
      batch.forEach((waiting, index) => {
        if (index < results.length) waiting.resolve(results[index] as Result);
        else waiting.reject(new Error(`a batch of ${batch.length} got ${results.length} answers`));
      });
    } catch (error) {
      for (const waiting of batch) waiting.reject(error);
    } finally {
      this.running -= 1;
      this.pump();
      if (this.running === 0) for (const wake of this.idle.splice(0)) wake();
    }
  }
}

interface Waiting<Item, Result> {
  item: Item;
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}
