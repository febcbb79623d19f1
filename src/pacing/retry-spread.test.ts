import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { RetrySpread } from './retry-spread.js';

const NOW = 1_700_000_000_000;

/** Places retries of endpoints, all of one account unless told otherwise. */
function spreadOf(all: number, endpoint: number, outage = all, few = 0) {
  const spread = new RetrySpread({ all, endpoint, outage, few });
  return {
    place: (endpointId: string, delayMs: number, nowMs: number, inOutage = false, accountId = 'a') =>
      spread.place({ account_id: accountId, endpoint_id: endpointId }, delayMs, nowMs, inOutage),
  };
}

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

  it('leaves accounts with a few their own, whatever another account has planned and whether its receivers answer', () => {
    const spread = spreadOf(4, 9, 1, 2);
    const place = (account: string, inOutage = false) => spread.place(account, 5_000, NOW, inOutage, account);
    expect(Array.from({ length: 8 }, () => place('many'))).toEqual([
      5_000, 5_000, 6_000, 6_000, 7_000, 7_000, 8_000, 8_000,
    ]);
    expect([place('other', true), place('another'), place('third')]).toEqual([5_000, 5_000, 6_000]);
    // It has more than a few there itself by now.
    expect([place('other'), place('other')]).toEqual([6_000, 7_000]);
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
      account: fc.nat(2),
      delayMs: fc.oneof(fc.nat(3_000), fc.nat(200_000)),
      afterMs: fc.oneof(fc.constant(0), fc.nat(2_000), fc.nat(90_000)),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(2),
        fc.array(retry, { maxLength: 200 }),
        (perSecond, perEndpoint, few, retries) => {
          const spread = spreadOf(perSecond, perEndpoint, perSecond, Math.min(few, perSecond - 1));
          const planned = new Map<string, number>();
          const count = (key: string) => {
            planned.set(key, (planned.get(key) ?? 0) + 1);
            return planned.get(key);
          };
          let now = NOW;
          for (const { endpoint, account, delayMs, afterMs } of retries) {
            now += afterMs;
            const placed = spread.place(`e${endpoint}`, delayMs, now, false, `a${account}`);
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
