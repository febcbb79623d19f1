import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { slotsOf } from './reservations.js';

/** Reservations one after another by the row that the database keeps: `free` is when all that was reserved is used up. */
function reserveAll(
  perSecond: number,
  burst: number,
  requests: readonly { afterMs: number; count: number }[],
): number[] {
  let now = 0;
  let free = 0;
  return requests.flatMap(({ afterMs, count }) => {
    now += afterMs;
    free = Math.max(free, now) + (count * 1000) / perSecond;
    return slotsOf(perSecond, burst, count, free - now).map((ms) => now + ms);
  });
}

const limit = fc.record({
  perSecond: fc.oneof(fc.constantFrom(0.1, 1, 3, 10), fc.double({ min: 0.01, max: 1_000, noNaN: true })),
  burst: fc.integer({ min: 1, max: 20 }),
});
const requests = fc.array(fc.record({ afterMs: fc.nat(5_000), count: fc.integer({ min: 1, max: 15 }) }), {
  minLength: 1,
  maxLength: 25,
});

describe('reserved moments', () => {
  it('are evenly spaced without a burst, the first at once', () => {
    expect(slotsOf(10, 1, 5, 500)).toEqual([0, 100, 200, 300, 400]);
  });

  it('are at once for a burst after a quiet time, and evenly spaced from then on', () => {
    expect(slotsOf(10, 3, 6, 600)).toEqual([0, 0, 0, 100, 200, 300]);
  });

  it('follow what was reserved before', () => {
    expect(slotsOf(10, 1, 2, 700)).toEqual([500, 600]);
    expect(slotsOf(10, 3, 2, 700)).toEqual([300, 400]);
  });

  it('are never in the past', () => {
    fc.assert(
      fc.property(limit, requests, ({ perSecond, burst }, asked) => {
        let now = 0;
        let free = 0;
        for (const { afterMs, count } of asked) {
          now += afterMs;
          free = Math.max(free, now) + (count * 1000) / perSecond;
          expect(Math.min(...slotsOf(perSecond, burst, count, free - now))).toBeGreaterThanOrEqual(0);
        }
      }),
    );
  });

  it('never let more than the burst and what the rate adds go in any window', () => {
    fc.assert(
      fc.property(limit, requests, ({ perSecond, burst }, asked) => {
        const slots = reserveAll(perSecond, burst, asked);
        expect(slots).toEqual([...slots].sort((a, b) => a - b));
        // Windows that begin at one and end at another are the only ones that can be too full.
        const excess = slots.flatMap((from, first) =>
          slots.slice(first).map((to, index) => index + 1 - burst - ((to - from) / 1000) * perSecond),
        );
        expect(Math.max(...excess)).toBeLessThanOrEqual(1e-6);
      }),
      { numRuns: 100 },
    );
  });

  it('waste nothing: what is asked for without a pause goes at the full rate', () => {
    fc.assert(
      fc.property(
        limit,
        fc.array(fc.integer({ min: 1, max: 15 }), { minLength: 1, maxLength: 20 }),
        ({ perSecond, burst }, counts) => {
          const slots = reserveAll(
            perSecond,
            burst,
            counts.map((count) => ({ afterMs: 0, count })),
          );
          const apartMs = 1000 / perSecond;
          slots.forEach((slot, index) => {
            expect(slot).toBeCloseTo(Math.max(0, index - burst + 1) * apartMs, 3);
          });
        },
      ),
    );
  });
});
