import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { RetryBudget } from './retry-budget.js';

const START_MS = 1_700_000_000_000;
const FLOOR = 10;

/** Asks for each retry until its turn has come. @returns when each was made, in order */
function makeAll(
  budget: RetryBudget,
  retries: readonly { account: string; id: string; atMs: number }[],
): number[] {
  return retries.map(({ account, id, atMs }) => {
    let nowMs = atMs;
    for (let waitMs = -1; waitMs !== 0; nowMs += waitMs) waitMs = budget.admit(account, id, nowMs);
    budget.made(id);
    return nowMs;
  });
}

/** The most that fall into any such time. */
function most(atMs: readonly number[], withinMs: number): number {
  return Math.max(...atMs.map((from) => atMs.filter((at) => at >= from && at < from + withinMs).length));
}

describe('the retry budget', () => {
  it('lets no more retries be made than its floor where there are no first attempts, and loses none', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3_000), { minLength: 1, maxLength: 150 }), (times) => {
        const budget = new RetryBudget();
        const asked = times
          .sort((a, b) => a - b)
          .map((ms, index) => ({ account: 'a', id: `${index}`, atMs: START_MS + ms }));
        const made = makeAll(budget, asked);
        expect(made).toHaveLength(asked.length);
        expect(made.every((ms, index) => ms >= (asked[index]?.atMs ?? 0))).toBe(true);
        for (const seconds of [1, 2, 5])
          expect(most(made, seconds * 1000)).toBeLessThanOrEqual(FLOOR * (seconds + 1));
      }),
    );
  });

  it('gives turns in the order in which they are asked for', () => {
    const budget = new RetryBudget();
    const made = makeAll(
      budget,
      Array.from({ length: 60 }, (_, index) => ({ account: 'a', id: `${index}`, atMs: START_MS })),
    );
    expect(made).toEqual([...made].sort((a, b) => a - b));
    expect(made.filter((ms) => ms === START_MS)).toHaveLength(FLOOR);
    expect(made.at(-1)).toBe(START_MS + 5_000);
  });

  it('lets a fifth as many retries be made as there are recent first attempts', () => {
    fc.assert(
      fc.property(fc.integer({ min: 50, max: 2_000 }), (perSecond) => {
        const budget = new RetryBudget();
        for (let second = 1; second <= 10; second += 1)
          for (let count = 0; count < perSecond; count += 1) budget.first('a', START_MS - second * 1000);
        const allowed = (perSecond * 9) / 10 / 5;
        let atOnce = 0;
        while (budget.admit('a', `${atOnce}`, START_MS) === 0) atOnce += 1;
        expect(Math.abs(atOnce - Math.max(FLOOR, allowed))).toBeLessThanOrEqual(1);
      }),
      { numRuns: 20 },
    );
  });

  it('forgets first attempts after a while', () => {
    const budget = new RetryBudget();
    for (let count = 0; count < 1_000; count += 1) budget.first('a', START_MS);
    let atOnce = 0;
    while (budget.admit('a', `${atOnce}`, START_MS + 11_000) === 0) atOnce += 1;
    expect(atOnce).toBe(FLOOR);
  });

  it('is each account its own', () => {
    const budget = new RetryBudget();
    for (let count = 0; count < 100; count += 1) budget.admit('a', `a${count}`, START_MS);
    expect(budget.admit('a', 'late', START_MS)).toBeGreaterThan(0);
    expect(budget.admit('b', 'b', START_MS)).toBe(0);
  });

  it('keeps the turn that was given, for a while', () => {
    const budget = new RetryBudget();
    for (let count = 0; count < 30; count += 1) budget.admit('a', `${count}`, START_MS);
    const waitMs = budget.admit('a', 'waits', START_MS);
    expect(waitMs).toBe(2_100);
    expect(budget.admit('a', 'waits', START_MS + 100)).toBe(waitMs - 100);
    expect(budget.admit('a', 'waits', START_MS + waitMs + 10)).toBe(0);
  });

  it('forgets turns that nobody came back for, also where the accounts are always the same', () => {
    const budget = new RetryBudget();
    for (let count = 0; count < 100; count += 1) budget.admit('a', `abandoned${count}`, START_MS);
    expect(budget.waiting).toBe(100);
    budget.admit('a', 'later', START_MS + 120_000);
    expect(budget.waiting).toBe(1);
  });
});
