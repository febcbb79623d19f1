import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { bucketOf, quantile, UPPER_BOUNDS_MS } from './duration-histogram.js';

const countsOf = (durations: readonly number[]): number[] => {
  const counts = UPPER_BOUNDS_MS.map(() => 0);
  for (const duration of durations) counts[bucketOf(duration)] = (counts[bucketOf(duration)] ?? 0) + 1;
  return counts;
};

describe('a histogram of durations', () => {
  it('has bounds that grow up to past the longest deadline', () => {
    expect(UPPER_BOUNDS_MS.toSorted((a, b) => a - b)).toEqual(UPPER_BOUNDS_MS);
    expect(new Set(UPPER_BOUNDS_MS).size).toBe(UPPER_BOUNDS_MS.length);
    expect(UPPER_BOUNDS_MS.at(-1)).toBeGreaterThan(30_000);
  });

  it('knows nothing of no attempts', () => {
    expect(quantile(countsOf([]), 0.5)).toBeNull();
  });

  it('gives each quantile within its bucket, which is a third wide at most', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 30_000 }), { minLength: 1, maxLength: 200 }),
        fc.constantFrom(0.5, 0.95, 0.99, 0, 1),
        (durations, share) => {
          const exact =
            durations.toSorted((a, b) => a - b)[Math.max(1, Math.ceil(share * durations.length)) - 1] ?? 0;
          const read = quantile(countsOf(durations), share) ?? NaN;
          expect(bucketOf(read)).toBe(bucketOf(exact));
        },
      ),
    );
  });

  it('counts what is longer than every bound in the last bucket', () => {
    expect(bucketOf(10 ** 9)).toBe(UPPER_BOUNDS_MS.length - 1);
  });
});
