/** No more than that early: whoever is waits in place, and takes up a slot of the worker. */
const MOST_MS = 800;
/** Of how much too early one came, the part by which the next ones come later. */
const EASING = 0.05;

/**
 * How much before their moment attempts are called back. Timers of a busy engine are late, and a moment that is missed is lost:
 * where all were, each would ask for another one behind all others, and miss that too.
 */
export class Lead {
  private leadMs = 0;

  get ms(): number {
    return this.leadMs;
  }

  /** @param lateMs how long after its moment one came back; negative for one that came before it */
  came(lateMs: number): void {
    const change = lateMs > 0 ? lateMs : lateMs * EASING;
    this.leadMs = Math.min(MOST_MS, Math.max(0, this.leadMs + change));
  }
}
