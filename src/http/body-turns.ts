import { Turns } from '../common/turns.js';

/** How long others have the process for themselves after a large body, as a multiple of what that took. */
const REST = 2;

/** Large bodies are read one at a time, with a rest after each, and each account's in turn. */
export class BodyTurns {
  private readonly waiting = new Turns<() => void>();
  private resting = false;

  add(accountId: string, work: () => void): void {
    this.waiting.add(accountId, work);
    if (!this.resting) this.next();
  }

  private next(): void {
    const next = this.waiting.take();
    this.resting = next !== null;
    if (!next) return;
    const beganAtMs = performance.now();
    try {
      next.item();
    } finally {
      // What it led to without waiting for anything, such as validation, is over by then.
      setImmediate(() => setTimeout(() => this.next(), REST * (performance.now() - beganAtMs)));
    }
  }
}
