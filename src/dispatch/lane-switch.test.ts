import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { LaneSwitch } from './lane-switch.js';

const QUIET_MS = 2_000;
const MANY = 65;
const SOME = 9;
const FEW = 8;

/** Lets `perSecond` arrive, and as many begin as the engine `begins`, each second from `fromMs`; @returns the state after each. */
function run(
  lanes: LaneSwitch,
  {
    fromMs,
    seconds,
    perSecond,
    begins = perSecond,
    waiting,
  }: Record<string, number> & {
    fromMs: number;
    seconds: number;
    perSecond: number;
    waiting: number;
  },
): boolean[] {
  return Array.from({ length: seconds }, (_, second) => {
    for (let count = 0; count < perSecond; count += 1) lanes.arrivedOne();
    for (let count = 0; count < begins; count += 1) lanes.begunOne();
    return lanes.isExpress(fromMs + (second + 1) * 1_000, waiting);
  });
}

describe('the switch between lanes', () => {
  it('sends everything through the engine while that keeps up', () => {
    const lanes = new LaneSwitch(0);
    expect(run(lanes, { fromMs: 0, seconds: 60, perSecond: 20, waiting: 0 })).toEqual(
      Array<boolean>(60).fill(false),
    );
  });

  it('goes over to express at once when more wait for the engine than it soon gets to', () => {
    const lanes = new LaneSwitch(0);
    expect([lanes.isExpress(1, MANY - 1), lanes.isExpress(2, MANY)]).toEqual([false, true]);
  });

  it('comes back only after a quiet time without interruption', () => {
    const lanes = new LaneSwitch(0);
    lanes.isExpress(1_000, MANY);
    expect(lanes.isExpress(1_000 + QUIET_MS - 1, FEW)).toBe(true);
    lanes.isExpress(3_000, SOME);
    expect(lanes.isExpress(3_000 + QUIET_MS - 1, FEW)).toBe(true);
    expect(lanes.isExpress(3_000 + QUIET_MS, FEW)).toBe(false);
  });

  it('is not moved by what waits between the two marks, whichever way it goes', () => {
    const durable = new LaneSwitch(0);
    expect(run(durable, { fromMs: 0, seconds: 30, perSecond: 1, waiting: MANY - 1 })).not.toContain(true);
    const express = new LaneSwitch(0);
    express.isExpress(0, MANY);
    expect(run(express, { fromMs: 0, seconds: 30, perSecond: 1, waiting: SOME })).not.toContain(false);
  });

  it('stays with express while more arrives than the engine was seen to do, though nothing waits', () => {
    const lanes = new LaneSwitch(0);
    // Saturated, the engine begins 100 a second.
    run(lanes, { fromMs: 0, seconds: 5, perSecond: 100, waiting: 20 });
    lanes.isExpress(5_000, MANY);
    expect(run(lanes, { fromMs: 5_000, seconds: 20, perSecond: 61, begins: 0, waiting: 0 })).not.toContain(
      false,
    );
    expect(run(lanes, { fromMs: 25_000, seconds: 4, perSecond: 59, begins: 0, waiting: 0 }).at(-1)).toBe(
      false,
    );
  });

  it('takes any engine to do 50 a second, so that a slow second does not keep it out for ever', () => {
    const lanes = new LaneSwitch(0);
    run(lanes, { fromMs: 0, seconds: 5, perSecond: 5, waiting: 20 });
    lanes.isExpress(5_000, MANY);
    expect(run(lanes, { fromMs: 5_000, seconds: 4, perSecond: 29, begins: 0, waiting: 0 }).at(-1)).toBe(
      false,
    );
  });

  it('goes by express while the engine cannot be reached, and comes back after a quiet time', () => {
    const lanes = new LaneSwitch(0);
    lanes.away(1_500);
    expect(lanes.isExpress(1_499, 0)).toBe(true);
    expect(lanes.isExpress(1_499 + QUIET_MS - 1, 0)).toBe(true);
    expect(lanes.isExpress(1_499 + QUIET_MS, 0)).toBe(false);
  });

  it('never comes back sooner than a quiet time after the last sign of trouble', () => {
    const step = fc.record({
      afterMs: fc.integer({ min: 1, max: 1_500 }),
      waiting: fc.oneof(fc.nat(12), fc.nat(200)),
      arrived: fc.nat(80),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 100 }), (steps) => {
        const lanes = new LaneSwitch(0);
        let now = 0;
        let troubledAt = 0;
        let before = false;
        for (const { afterMs, waiting, arrived } of steps) {
          now += afterMs;
          for (let count = 0; count < arrived; count += 1) lanes.arrivedOne();
          const express = lanes.isExpress(now, waiting);
          if (waiting > FEW) troubledAt = now;
          if (waiting >= MANY) expect(express).toBe(true);
          if (!before && express) expect(waiting).toBeGreaterThanOrEqual(MANY);
          if (before && !express) expect(now - troubledAt).toBeGreaterThanOrEqual(QUIET_MS);
          before = express;
        }
      }),
      { numRuns: 300 },
    );
  });
});
