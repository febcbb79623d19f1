import { Turns } from '../common/turns.js';

/** Lets so many in at once; the others wait, and owners take turns. */
export class Line {
  #inside = 0;
  readonly #waiting = new Turns<{ begin: () => void; isLate: boolean }>();

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
      const turn = {
        isLate: false,
        begin: () => {
          clearTimeout(late);
          resolve(true);
        },
      };
      const late = setTimeout(() => {
        turn.isLate = true;
        resolve(false);
      }, withinMs);
      this.#waiting.add(owner, turn);
    });
  }

  leave(): void {
    for (;;) {
      const next = this.#waiting.take();
      if (next === null) break;
      if (next.item.isLate) continue;
      next.item.begin();
      return;
    }
    this.#inside -= 1;
  }
}
