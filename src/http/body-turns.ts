/** How long others have the process for themselves after a large body, as a multiple of what that took. */
const REST = 2;
/** Of large bodies, what may wait to be read; past it whoever sends one is told to come back. */
const MAX_WAITING = { bodies: 1_000, bytes: 256 * 1024 * 1024 };

/** Large bodies are read one at a time, with a rest after each. */
export class BodyTurns {
  private readonly waiting: { bytes: number; work: () => void }[] = [];
  private waitingBytes = 0;
  private resting = false;

  /** @returns false when too much waits already */
  add(bytes: number, work: () => void): boolean {
    const { bodies: mostBodies, bytes: mostBytes } = MAX_WAITING;
    if (this.waiting.length >= mostBodies || this.waitingBytes + bytes > mostBytes) return false;
    this.waiting.push({ bytes, work });
    this.waitingBytes += bytes;
    if (!this.resting) this.next();
    return true;
  }

  private next(): void {
    const next = this.waiting.shift();
    this.resting = next !== undefined;
    if (!next) return;
    this.waitingBytes -= next.bytes;
    const beganAtMs = performance.now();
    next.work();
    // What it led to without waiting for anything, such as validation, is over by then.
    setImmediate(() => setTimeout(() => this.next(), REST * (performance.now() - beganAtMs)));
  }
}
