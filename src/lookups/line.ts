/** Lets so many in at once; the others wait for their turn, in their order. */
export class Line {
  #inside = 0;
  readonly #waiting = new Set<() => void>();

  constructor(private readonly places: number) {}

  /**
   * @param withinMs how long it may wait
   * @returns whether it is in, until it calls {@link leave}
   */
  enter(withinMs: number): Promise<boolean> {
    if (this.#inside < this.places) {
      this.#inside += 1;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const turn = () => {
        clearTimeout(late);
        resolve(true);
      };
      const late = setTimeout(() => {
        this.#waiting.delete(turn);
        resolve(false);
      }, withinMs);
      this.#waiting.add(turn);
    });
  }

  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#inside -= 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
