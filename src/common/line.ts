import { Turns } from './turns.js';

/** Lets so many in at once; the others wait, and owners take turns. */
export class Line {
  #inside = 0;
  readonly #waiting = new Turns<() => void>();

  constructor(private readonly places: number) {}

  /**
   * @param owner whose it is
   * @param withinMs how long it may wait
   * @returns whether it is in, until it calls {@link leave}
   */
  enter(owner: string, withinMs: number): Promise<boolean> {
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
        this.#waiting.remove(owner, turn);
        resolve(false);
      }, withinMs);
      this.#waiting.add(owner, turn);
    });
  }

  leave(): void {
    const next = this.#waiting.take();
    if (next === null) this.#inside -= 1;
    else next.item();
  }
}
