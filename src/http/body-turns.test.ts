import { describe, expect, it } from '@jest/globals';
import { BodyTurns } from './body-turns.js';

describe('turns of large bodies', () => {
  it('come one after another, each account in turn', async () => {
    const turns = new BodyTurns();
    const read: string[] = [];
    const bodies = ['a1', 'a2', 'a3', 'a4', 'b1', 'b2'];
    await new Promise<void>((last) => {
      for (const body of bodies)
        turns.add(body.charAt(0), () => {
          read.push(body);
          if (read.length === bodies.length) last();
        });
      // The first one waits for nobody.
      expect(read).toEqual(['a1']);
    });
    expect(read).toEqual(['a1', 'a2', 'b1', 'a3', 'b2', 'a4']);
  });

  it('go on after one that failed', async () => {
    const turns = new BodyTurns();
    expect(() =>
      turns.add('a', () => {
        throw new Error('unreadable');
      }),
    ).toThrow('unreadable');
    await new Promise<void>((read) => turns.add('a', read));
  });
});
