import { afterAll } from '@jest/globals';

/** How to end what tests have started and not ended yet. */
const ends = new Map<object, () => Promise<unknown>>();

/**
 * A test that fails leaves running what it would have ended itself, and Jest waits for ever for that: it is ended after
 * the last test of the file.
 */
afterAll(async () => {
  const left = [...ends.values()].reverse();
  ends.clear();
  for (const end of left) await end();
}, 60_000);

/** To be ended in any case. */
export function started(thing: object, end: () => Promise<unknown>): void {
  ends.set(thing, end);
}

/** The test has seen to it. */
export function ended(thing: object): void {
  ends.delete(thing);
}
