import { describe, expect, it } from '@jest/globals';
import { Line } from './line.js';

const LONG_MS = 60_000;

describe('a line', () => {
  it('lets so many in at once, and the others in their order as places become free', async () => {
    const line = new Line(2);
    const came: number[] = [];
    const come = (who: number) => line.enter('a', LONG_MS).then((isIn) => isIn && came.push(who));
    await Promise.all([come(1), come(2)]);
    const [third, fourth] = [come(3), come(4)];
    line.leave();
    await third;
    expect(came).toEqual([1, 2, 3]);
    line.leave();
    await fourth;
    expect(came).toEqual([1, 2, 3, 4]);
  });

  it('has owners take turns, however many of one wait', async () => {
    const line = new Line(1);
    const came: string[] = [];
    await line.enter('many', LONG_MS);
    const all = ['many', 'many', 'many', 'few'].map((owner) =>
      line.enter(owner, LONG_MS).then(() => {
        came.push(owner);
        line.leave();
      }),
    );
    line.leave();
    await Promise.all(all);
    expect(came).toEqual(['many', 'few', 'many', 'many']);
  });

  it('sends away who has waited too long, and gives the place to the next one', async () => {
    const line = new Line(1);
    expect(await line.enter('a', LONG_MS)).toBe(true);
    expect(await line.enter('a', 1)).toBe(false);
    const next = line.enter('a', LONG_MS);
    line.leave();
    expect(await next).toBe(true);
    line.leave();
    expect(await line.enter('a', 1)).toBe(true);
  });
});
