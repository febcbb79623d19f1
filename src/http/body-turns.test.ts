import { describe, expect, it } from '@jest/globals';
import { BodyTurns } from './body-turns.js';

const MOST_BODIES = 1_000;
const MOST_BYTES = 256 * 1024 * 1024;

describe('turns of large bodies', () => {
  it('are taken one after another, in order', async () => {
    const turns = new BodyTurns();
    const read: number[] = [];
    await new Promise<void>((last) => {
      for (let each = 0; each < 5; each += 1)
        turns.add(1, () => {
          read.push(each);
          if (each === 4) last();
        });
      // The first one waits for nobody.
      expect(read).toEqual([0]);
    });
    expect(read).toEqual([0, 1, 2, 3, 4]);
  });

  it.each([
    ['bodies', MOST_BODIES, 1],
    ['bytes', 8, MOST_BYTES / 8],
  ])('are refused while too many %s wait, and no longer', async (_, most, bytes) => {
    const turns = new BodyTurns();
    const add = () => turns.add(bytes, () => undefined);
    // The first one is read at once.
    const taken = Array.from({ length: most + 1 }, add);
    expect(taken.every(Boolean)).toBe(true);
    expect(add()).toBe(false);
    while (!add()) await new Promise(setImmediate);
  });
});
