import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { EndpointPace, type Met } from './endpoint-pace.js';
import { type EndpointLimits, UNLIMITED } from './limits.js';

const ok = (durationMs: number): Met => ({ durationMs, failed: false });

const paceOf = (limits: Partial<EndpointLimits> = {}): EndpointPace => {
  const pace = new EndpointPace('e');
  pace.learn({ ...UNLIMITED, ...limits }, 0);
  return pace;
};

describe("an endpoint's pace", () => {
  it('is open at once without a limit', () => {
    expect(paceOf().opensAt(1_000)).toBeLessThanOrEqual(1_000);
  });

  it('is closed while as many are under way as may be, and open when one has ended', () => {
    const pace = paceOf({ maxInFlight: 2 });
    pace.enter(0);
    expect(pace.opensAt(0)).toBeLessThanOrEqual(0);
    pace.enter(0);
    expect(pace.opensAt(0)).toBe(Infinity);
    pace.leave(1, false, null);
    expect(pace.opensAt(1)).toBeLessThanOrEqual(1);
  });

  it('is closed until the receiver wants more, and a later wish for less quiet does not open it', () => {
    const pace = paceOf();
    pace.learn(UNLIMITED, 5_000);
    pace.learn(UNLIMITED, 3_000);
    expect(pace.opensAt(1_000)).toBe(5_000);
  });

  it('with a limit opens at the next moment that is reserved, and at none that is not', () => {
    const pace = paceOf({ perSecond: 10 });
    expect(pace.opensAt(1_000)).toBe(Infinity);
    pace.addSlots([1_200, 1_100]);
    expect([pace.opensAt(1_000), pace.reserved]).toEqual([1_100, 2]);
    expect(pace.enter(1_100)).toBe(true);
    expect(pace.opensAt(1_100)).toBe(1_200);
    expect(pace.enter(1_200)).toBe(true);
    expect(pace.enter(1_200)).toBe(false);
  });

  it('gives up a moment that came too long ago', () => {
    const pace = paceOf({ perSecond: 10 });
    pace.addSlots([1_000, 5_000]);
    expect(pace.opensAt(1_200)).toBe(1_000);
    expect(pace.opensAt(1_201)).toBe(5_000);
    expect(pace.reserved).toBe(1);
  });

  it.each([
    ['another rate', { perSecond: 20 }],
    ['another burst', { perSecond: 10, burst: 5 }],
    ['none', { perSecond: null }],
  ])('forgets what was reserved when it learns of %s', (_, limits) => {
    const pace = paceOf({ perSecond: 10 });
    pace.addSlots([1_000]);
    pace.learn({ ...UNLIMITED, perSecond: 10 }, 0);
    expect(pace.reserved).toBe(1);
    pace.learn({ ...UNLIMITED, ...limits }, 0);
    expect(pace.reserved).toBe(0);
  });

  it('keeps to the quiet that was asked for whatever is reserved', () => {
    const pace = paceOf({ perSecond: 10 });
    pace.addSlots([1_000]);
    pace.notBeforeMs = 1_150;
    expect(pace.opensAt(1_000)).toBe(1_150);
  });

  it('begins slowly with a receiver that has not answered yet', () => {
    const pace = paceOf();
    const begin = (now: number) => {
      let count = 0;
      for (; pace.opensAt(now) <= now; count += 1) pace.enter(now);
      return count;
    };
    expect([begin(0), begin(49), begin(50), begin(200)]).toEqual([4, 0, 1, 3]);
    expect(begin(60_000)).toBe(UNLIMITED.maxInFlight - 8);
  });

  it('spaces the attempts of a slow receiver over the time that they take', () => {
    const pace = paceOf({ maxInFlight: 10 });
    pace.enter(0);
    pace.leave(0, false, ok(10_000));
    pace.enter(20_000);
    expect(pace.opensAt(20_000)).toBe(21_000);
  });

  it('spaces them evenly where several begin within a tick of the clock', () => {
    const pace = paceOf({ maxInFlight: 1_000 });
    pace.enter(0);
    pace.leave(0, false, ok(300));
    const begun = [];
    for (let ms = 1_000; ms < 1_300; ms += 1) {
      for (; pace.opensAt(ms) <= ms; begun.push(ms)) pace.enter(ms);
    }
    expect(begun.length).toBeGreaterThanOrEqual(1_000);
    expect(begun.length).toBeLessThan(1_010);
    expect(begun.filter((ms) => ms === 1_150).length).toBeLessThanOrEqual(4);
  });

  it('does not hurry a receiver that gives no answer, and is itself again with the first one', () => {
    const pace = paceOf();
    const attempt = (failed: boolean) => {
      pace.enter(0);
      pace.leave(0, false, { durationMs: 1, failed });
    };
    const apart = [];
    for (let failures = 1; failures <= 12; failures += 1) {
      attempt(true);
      apart.push(Math.max(0, pace.opensAt(0)));
    }
    expect(apart).toEqual([0, 0, 0, 0, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000, 5_000]);
    expect([pace.opensAt(4_999), pace.opensAt(5_000)]).toEqual([5_000, 0]);
    attempt(false);
    expect(pace.opensAt(0)).toBe(0);
  });

  it('lets no more requests out than may be under way, and hands a place on', async () => {
    const pace = paceOf({ maxInFlight: 1 });
    expect(await pace.send(1_000)).toBe(true);
    const second = pace.send(60_000);
    expect(await pace.send(1)).toBe(false);
    pace.enter(0);
    pace.leave(0, true, ok(1));
    expect(await second).toBe(true);
    expect([pace.inFlight, pace.hasRoom]).toEqual([1, false]);
  });

  it('lets those who found no room come back as far apart as attempts end', () => {
    const pace = paceOf({ maxInFlight: 4 });
    pace.enter(0);
    pace.leave(0, false, ok(1_000));
    expect([0, 0, 0].map((now) => pace.spaced(now, 500))).toEqual([500, 750, 1_000]);
    expect(pace.spaced(10_000, 500)).toBe(10_500);
  });

  it('lets none of them wait for longer than five minutes, however long attempts take', () => {
    const pace = paceOf({ maxInFlight: 1 });
    pace.enter(0);
    pace.leave(0, false, ok(20_000));
    for (let count = 0; count < 100; count += 1) pace.spaced(0, 500);
    expect(pace.spaced(0, 500)).toBe(300_000);
    // But for what has asked for more itself.
    expect(pace.spaced(0, 900_000)).toBe(900_000);
  });

  it('follows the duration of attempts, and takes those that were never sent for none', () => {
    const pace = paceOf({ maxInFlight: 1 });
    const apart = () => {
      const first = pace.spaced(0, 0);
      return pace.spaced(0, 0) - first;
    };
    const attempt = (durationMs: number | null) => {
      pace.enter(0);
      pace.leave(0, false, durationMs === null ? null : ok(durationMs));
    };
    attempt(100);
    attempt(null);
    expect(apart()).toBeCloseTo(100);
    attempt(600);
    expect(apart()).toBeCloseTo(200);
    for (let count = 0; count < 50; count += 1) attempt(600);
    expect(apart()).toBeCloseTo(600, 0);
  });

  it('never begins more than there are reserved moments, nor one before its own', () => {
    const step = fc.record({ afterMs: fc.nat(300), reserve: fc.array(fc.nat(1_000), { maxLength: 4 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const pace = paceOf({ perSecond: 10, maxInFlight: 1_000 });
        // A receiver that has answered: one that has not is begun with slowly, whatever is reserved.
        pace.enter(0);
        pace.leave(0, false, ok(1));
        const reserved: number[] = [];
        const begun: number[] = [];
        let now = 0;
        for (const { afterMs, reserve } of steps) {
          now += afterMs;
          const slots = reserve.map((ms) => now + ms);
          pace.addSlots(slots);
          reserved.push(...slots);
          while (pace.opensAt(now) <= now) {
            expect(pace.enter(now)).toBe(true);
            begun.push(now);
          }
          // As many as have begun, the earliest of what was reserved must have come.
          expect(begun.length).toBeLessThanOrEqual(reserved.filter((slot) => slot <= now).length);
        }
        expect(pace.entered).toBe(begun.length);
      }),
      { numRuns: 200 },
    );
  });
});
