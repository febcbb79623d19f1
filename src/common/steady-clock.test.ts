import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { fromSystemMs, steadyMs, toSystemMs } from './steady-clock.js';

const HOUR_MS = 3_600_000;

describe("this process's own clock", () => {
  afterEach(() => void jest.restoreAllMocks());

  /** @param byMs forward */
  const set = (byMs: number) => {
    const real = Date.now;
    jest.spyOn(Date, 'now').mockImplementation(() => real() + byMs);
  };

  it.each([-HOUR_MS, HOUR_MS])("goes on when the system's is set by %i ms", (byMs) => {
    const before = steadyMs();
    set(byMs);
    expect(steadyMs()).toBeGreaterThanOrEqual(before);
    expect(steadyMs() - before).toBeLessThan(HOUR_MS / 2);
  });

  it("has moments of the system's clock where others have them", () => {
    set(-HOUR_MS);
    expect(Math.abs(toSystemMs(steadyMs()) - Date.now())).toBeLessThan(HOUR_MS / 2);
    expect(Math.abs(fromSystemMs(Date.now()) - steadyMs())).toBeLessThan(HOUR_MS / 2);
    expect(fromSystemMs(toSystemMs(5))).toBeCloseTo(5, -1);
  });
});
