import { Turns } from '../common/turns.js';

/** How long anything may go on before whatever else the process does is let in. */
const SLICE_MS = 4;
/** How much of it a piece of work has at once, without waiting for its turn. */
const FIRST_SLICE_MS = 1;
/** How many steps go between looks at the clock. */
const STEPS = 32;

/** Long computations in slices, one slice in a turn of the event loop whoever they are for. */
export class Slices {
  private readonly waiting = new Turns<() => void>();
  private isRunning = false;

  /** @param owner who takes turns with others @returns what does a step for each item; its first ones without waiting */
  begin(owner: string): <Item>(items: readonly Item[], step: (item: Item) => void) => Promise<void> {
    let until = performance.now() + FIRST_SLICE_MS;
    return async (items, step) => {
      for (const [index, item] of items.entries()) {
        if (index % STEPS === 0 && performance.now() > until) {
          await this.turn(owner);
          until = performance.now() + SLICE_MS;
        }
        step(item);
      }
    };
  }

  private turn(owner: string): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.add(owner, resolve);
      if (this.isRunning) return;
      this.isRunning = true;
      this.next();
    });
  }

  private next(): void {
    setImmediate(() => {
      const taken = this.waiting.take();
      this.isRunning = taken !== null;
      if (!taken) return;
      taken.item();
      this.next();
    });
  }
}
