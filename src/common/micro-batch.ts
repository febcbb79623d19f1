import { Turns } from './turns.js';

/**
 * Collects calls that arrive while earlier ones are under way and hands them over together: one statement for many
 * callers when there are many, no waiting when there is one.
 */
export class MicroBatch<Item, Result> {
  private readonly queue = new Turns<Waiting<Item, Result>>();
  /** Taken already, and too heavy for the hand-over it was taken for: the first of the next one. */
  private carried: Waiting<Item, Result> | undefined;
  private running = 0;
  private idle: (() => void)[] = [];
  private lastBegunMs = 0;
  private timer: NodeJS.Timeout | undefined;

  /**
   * @param run answers every item, in order, or rejects for all of them
   * @param options `maxItems` of one hand-over, `concurrency` of hand-overs, what an item weighs against `maxWeight`,
   * `spacingMs` between the beginnings of two hand-overs: for work that nobody waits for, so that under load there
   * are fewer and larger ones; and `ownerOf` an item, where owners are to take turns
   */
  constructor(
    private readonly run: (items: Item[]) => Promise<Result[]>,
    private readonly options: {
      maxItems: number;
      concurrency: number;
      weigh?: (item: Item) => number;
      maxWeight?: number;
      spacingMs?: number;
      ownerOf?: (item: Item) => string;
    },
  ) {}

  get waiting(): number {
    return this.queue.size + (this.carried ? 1 : 0);
  }

  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.queue.add(this.options.ownerOf?.(item) ?? '', { item, resolve, reject });
      // A tick lets the calls of one turn of the loop come together; after that nobody is waited for.
      if (this.running < this.options.concurrency) setImmediate(() => this.pump());
    });
  }

  /** Resolves when everything added so far has been answered. */
  async drained(): Promise<void> {
    while (this.waiting > 0 || this.running > 0) {
      await new Promise<void>((resolve) => this.idle.push(resolve));
    }
  }

  private pump(): void {
    while (this.running < this.options.concurrency && this.waiting > 0) {
      if (this.tooSoon()) return;
      void this.handOver(this.take());
    }
  }

  private tooSoon(): boolean {
    const { spacingMs = 0, maxItems } = this.options;
    const now = Date.now();
    const leftMs = this.waiting >= maxItems ? 0 : this.lastBegunMs + spacingMs - now;
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
    const taken: Waiting<Item, Result>[] = [];
    let weight = 0;
    while (taken.length < maxItems) {
      const next = this.carried ?? this.queue.take()?.item;
      this.carried = undefined;
      if (!next) break;
      weight += weigh?.(next.item) ?? 0;
      if (taken.length > 0 && maxWeight !== undefined && weight > maxWeight) {
        this.carried = next;
        break;
      }
      taken.push(next);
    }
    return taken;
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
