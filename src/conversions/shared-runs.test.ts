import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SharedRuns } from './shared-runs.js';

const runsOf = (most: { count: number; size: number }) =>
  new SharedRuns<string>(most, (result) => (result === 'failed' ? null : result.length));

describe('runs that are shared', () => {
  it('are made once for all who come while they are under way, and for those who come later', async () => {
    const runs = runsOf({ count: 2, size: 100 });
    let made = 0;
    const run = () => Promise.resolve(`run ${(made += 1)}`);
    expect(await Promise.all([runs.get('a', run), runs.get('a', run), runs.get('b', run)])).toEqual([
      'run 1',
      'run 1',
      'run 2',
    ]);
    expect(await runs.get('a', run)).toBe('run 1');
    expect(runs.underWay).toBe(0);
  });

  it('are made again where they threw, and where what came out is not to be kept', async () => {
    const runs = runsOf({ count: 2, size: 100 });
    await expect(runs.get('a', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await runs.get('a', () => Promise.resolve('failed'))).toBe('failed');
    expect(await runs.get('a', () => Promise.resolve('well'))).toBe('well');
    expect(await runs.get('a', () => Promise.resolve('again'))).toBe('well');
  });

  it('keep the latest, within their bounds', async () => {
    const step = fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.integer({ min: 0, max: 12 }));
    await fc.assert(
      fc.asyncProperty(fc.array(step), async (steps) => {
        const most = { count: 3, size: 10 };
        const runs = runsOf(most);
        let kept: [key: string, text: string][] = [];
        for (const [key, size] of steps) {
          const text = 'x'.repeat(size);
          const known = kept.find(([name]) => name === key)?.[1];
          expect(await runs.get(key, () => Promise.resolve(text))).toBe(known ?? text);
          if (known !== undefined || size > most.size) continue;
          kept.push([key, text]);
          while (kept.length > most.count || kept.map((each) => each[1]).join('').length > most.size)
            kept = kept.slice(1);
        }
      }),
    );
  });
});
