import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { RetrySpread } from './retry-spread.js';

const NOW = 1_700_000_000_000;

const spreadOf = (all: number, endpoint: number, outage = all) => new RetrySpread({ all, endpoint, outage });

describe('the spread of retries', () => {
  it('leaves a retry where its backoff put it while there is room', () => {
    const spread = spreadOf(10, 5);
    expect([5_000, 5_400, 300_000].map((delay) => spread.place('e', delay, NOW))).toEqual([
      5_000, 5_400, 300_000,
    ]);
  });

  it('pushes what is over the limit of one endpoint into the seconds after', () => {
    const spread = spreadOf(10, 2);
    expect(Array.from({ length: 5 }, () => spread.place('e', 5_000, NOW))).toEqual([
      5_000, 5_000, 6_000, 6_000, 7_000,
    ]);
    expect(spread.place('other', 5_000, NOW)).toBe(5_000);
  });

  it('pushes what is over the limit of all into the seconds after, whosever it is', () => {
    const spread = spreadOf(3, 3);
    expect(['a', 'b', 'c', 'd', 'e'].map((endpoint) => spread.place(endpoint, 5_000, NOW))).toEqual([
      5_000, 5_000, 5_000, 6_000, 6_000,
    ]);
  });

  it('keeps those who fail now and then from waiting behind an outage', () => {
    const spread = spreadOf(4, 4, 1);
    expect(['a', 'b', 'c'].map((endpoint) => spread.place(endpoint, 5_000, NOW, true))).toEqual([
      5_000, 6_000, 7_000,
    ]);
    expect(['d', 'd', 'd', 'd'].map((endpoint) => spread.place(endpoint, 5_000, NOW))).toEqual([
      5_000, 5_000, 5_000, 6_000,
    ]);
  });

  it.each([
    ['all', spreadOf(1, 9), 'other'],
    ['one endpoint', spreadOf(9, 1), 'e'],
  ])('still knows what it planned for %s when a long time has gone by', (_, spread, endpoint) => {
    spread.place('e', 3_600_000, NOW);
    for (let minute = 1; minute < 60; minute += 1) spread.place('e', 0, NOW + minute * 60_000);
    expect(spread.place(endpoint, 1_000, NOW + 3_599_000)).toBe(2_000);
  });

  it('never makes a retry earlier and never plans more for a second than it may, over all or for one', () => {
    const retry = fc.record({
      endpoint: fc.nat(3),
      delayMs: fc.oneof(fc.nat(3_000), fc.nat(200_000)),
      afterMs: fc.oneof(fc.constant(0), fc.nat(2_000), fc.nat(90_000)),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 4 }),
        fc.array(retry, { maxLength: 200 }),
        (perSecond, perEndpoint, retries) => {
          const spread = spreadOf(perSecond, perEndpoint);
          const planned = new Map<string, number>();
          const count = (key: string) => {
            planned.set(key, (planned.get(key) ?? 0) + 1);
            return planned.get(key);
          };
          let now = NOW;
          for (const { endpoint, delayMs, afterMs } of retries) {
            now += afterMs;
            const placed = spread.place(`e${endpoint}`, delayMs, now);
            expect(placed).toBeGreaterThanOrEqual(delayMs);
            const second = Math.floor((now + placed) / 1000);
            expect(count(`${second}`)).toBeLessThanOrEqual(perSecond);
            expect(count(`${endpoint}/${second}`)).toBeLessThanOrEqual(perEndpoint);
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
