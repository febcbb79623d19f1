import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { dueWarnings, nextWarningInMs } from './due-warnings.js';

const DAY_MS = 86_400_000;

describe('warnings of an end', () => {
  it.each([
    [31, []],
    [30.001, []],
    [30, [30]],
    [8, [30]],
    [7, [30, 7]],
    [1.5, [30, 7]],
    [1, [30, 7, 1]],
    [0, [30, 7, 1]],
    [-5, [30, 7, 1]],
  ])('at 30, 7 and 1 days before it: %s days before, %j are due', (days, due) => {
    expect(dueWarnings([30, 7, 1], days * DAY_MS, 0)).toEqual(due);
  });

  it.each([
    [40, null, 10],
    [30, null, 0],
    [29, 30, 22],
    [7, 30, 0],
    [-1, 7, 0],
    [0.5, 1, null],
  ])('%s days before it, told last at %s: the next is in %s days', (days, warnedDays, inDays) => {
    expect(nextWarningInMs([30, 7, 1], days * DAY_MS, warnedDays, 0)).toBe(
      inDays === null ? null : inDays * DAY_MS,
    );
  });

  it('that are due stay so, and depend on nothing but the time left', () => {
    const moment = fc.integer({ min: 0, max: 4e12 });
    const days = fc
      .uniqueArray(fc.integer({ min: 0, max: 120 }), { minLength: 1, maxLength: 5 })
      .map((all) => all.sort((one, other) => other - one));
    fc.assert(
      fc.property(days, moment, moment, fc.nat(100 * DAY_MS), (all, end, now, later) => {
        const due = dueWarnings(all, end, now);
        expect(dueWarnings(all, end, now + later)).toEqual(expect.arrayContaining(due));
        expect(dueWarnings(all, end + later, now + later)).toEqual(due);
        expect(all.slice(0, due.length)).toEqual(due);
      }),
    );
  });
});
