interface Kept<Result> {
  result: Result;
  size: number;
}

/** Does what many want at once only once, and keeps what came out for those who come a little later. */
export class SharedRuns<Result> {
  private readonly running = new Map<string, Promise<Result>>();
  /** The oldest first. */
  private readonly kept = new Map<string, Kept<Result>>();
  private size = 0;

  /**
   * @param most results that are kept, and their sizes together
   * @param sizeOf a result; null for one that the next one is not to be given
   */
  constructor(
    private readonly most: { count: number; size: number },
    private readonly sizeOf: (result: Result) => number | null,
  ) {}

  /** How many are under way. */
  get underWay(): number {
    return this.running.size;
  }

  /** @param key the same for all that come to the same result */
  get(key: string, run: () => Promise<Result>): Promise<Result> {
    const known = this.kept.get(key);
    if (known) return Promise.resolve(known.result);
    const underWay = this.running.get(key);
    if (underWay) return underWay;
    const running = run().then(
      (result) => {
        this.running.delete(key);
        this.keep(key, result);
        return result;
      },
      (error: unknown) => {
        this.running.delete(key);
        throw error;
      },
    );
    this.running.set(key, running);
    return running;
  }

  private keep(key: string, result: Result): void {
    const size = this.sizeOf(result);
    if (size === null || size > this.most.size) return;
    this.kept.set(key, { result, size });
    this.size += size;
    for (const [oldest, { size: freed }] of this.kept) {
      if (this.kept.size <= this.most.count && this.size <= this.most.size) return;
      this.kept.delete(oldest);
      this.size -= freed;
    }
  }
}
