import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Attempt, FailedAttempts } from './failed-attempts.js';

const MINUTE = 60_000;
const guess = (source: string, prefix: string | null, fingerprint = 'wrong'): Attempt => ({
  source,
  prefix,
  fingerprint,
});
const open = (limits: Partial<ConstructorParameters<typeof FailedAttempts>[0]> = {}) =>
  new FailedAttempts({ perSource: 5, perPrefix: 8, remembered: 100, ...limits });

/** Tries as the checks do: what must wait is refused unseen. @returns how many were let through to fail */
const fail = (attempts: FailedAttempts, attempt: Attempt, times: number, atMs: number): number => {
  let failed = 0;
  for (let count = 0; count < times; count += 1) {
    if (attempts.waitMs(attempt, atMs) > 0) continue;
    attempts.failed(attempt, atMs);
    failed += 1;
  }
  return failed;
};

describe('failed attempts', () => {
  it('from one source are let through up to its limit, and then one for each part of a minute', () => {
    const attempts = open();
    expect(fail(attempts, guess('a', null), 100, 0)).toBe(5);
    expect(attempts.waitMs(guess('a', null), 0)).toBe(MINUTE / 5);
    expect(attempts.waitMs(guess('a', null), MINUTE / 5)).toBe(0);
    expect(fail(attempts, guess('a', null), 100, MINUTE / 5)).toBe(1);
    expect(fail(attempts, guess('a', null), 100, 100 * MINUTE)).toBe(5);
  });

  it('slow their own source alone', () => {
    const attempts = open();
    fail(attempts, guess('a', null), 100, 0);
    expect(attempts.waitMs(guess('b', null), 0)).toBe(0);
  });

  it('count whatever they guess at', () => {
    const attempts = open();
    for (const prefix of ['phk_aaaa', 'phk_bbbb', 'phk_cccc', 'phk_dddd', null])
      expect(fail(attempts, guess('a', prefix), 1, 0)).toBe(1);
    expect(attempts.waitMs(guess('a', 'phk_eeee'), 0)).toBeGreaterThan(0);
  });

  it('at one prefix from many sources slow those that failed at it, at that prefix', () => {
    const attempts = open();
    const made = Array.from({ length: 20 }, (_, each) =>
      fail(attempts, guess(`guesser ${each}`, 'phk_aaaa'), 1, 0),
    );
    expect(made.filter((count) => count === 1)).toHaveLength(20);
    expect(attempts.waitMs(guess('guesser 0', 'phk_aaaa'), 0)).toBeGreaterThan(0);
    expect(attempts.waitMs(guess('guesser 0', 'phk_bbbb'), 0)).toBe(0);
    expect(attempts.waitMs(guess('guesser 0', null), 0)).toBe(0);
  });

  it('at a prefix do not keep anybody from it who did not fail there', () => {
    const attempts = open();
    for (let each = 0; each < 50; each += 1) fail(attempts, guess(`guesser ${each}`, 'phk_aaaa'), 3, 0);
    expect(attempts.waitMs(guess('customer', 'phk_aaaa', 'right'), 0)).toBe(0);
  });

  it('at a prefix are forgiven a minute after the last one, however many others go on guessing', () => {
    const attempts = open({ remembered: 10_000 });
    fail(attempts, guess('customer', 'phk_aaaa', 'mistyped'), 1, 0);
    const waits: number[] = [];
    for (let second = 0; second <= 60; second += 1) {
      for (let each = 0; each < 10; each += 1)
        fail(attempts, guess(`guesser ${second} ${each}`, 'phk_aaaa'), 1, second * 1000);
      waits.push(attempts.waitMs(guess('customer', 'phk_aaaa', 'right'), second * 1000));
    }
    expect(waits.slice(1, 60).every((wait) => wait > 0)).toBe(true);
    expect(waits[60]).toBe(0);
  });

  it('of others behind the same address do not lock out what was good from there', () => {
    const attempts = open();
    attempts.succeeded(guess('proxy', 'phk_aaaa', 'right'));
    fail(attempts, guess('proxy', 'phk_aaaa'), 100, 0);
    expect(attempts.waitMs(guess('proxy', 'phk_aaaa', 'right'), 0)).toBe(0);
    expect(attempts.waitMs(guess('proxy', 'phk_aaaa', 'never seen'), 0)).toBeGreaterThan(0);
    expect(attempts.waitMs(guess('elsewhere', 'phk_aaaa', 'right'), 0)).toBe(0);
  });

  it('of what was good once and is no more count again', () => {
    const attempts = open();
    attempts.succeeded(guess('a', 'phk_aaaa', 'revoked'));
    fail(attempts, guess('a', 'phk_aaaa'), 100, 0);
    attempts.failed(guess('a', 'phk_aaaa', 'revoked'), 0);
    expect(attempts.waitMs(guess('a', 'phk_aaaa', 'revoked'), 0)).toBeGreaterThan(0);
  });

  it('are not taken back by a success, nobody’s', () => {
    const attempts = open();
    fail(attempts, guess('a', 'phk_aaaa'), 4, 0);
    attempts.succeeded(guess('a', 'phk_bbbb', 'mine'));
    attempts.succeeded(guess('a', 'phk_aaaa', 'right'));
    expect(fail(attempts, guess('a', 'phk_aaaa'), 100, 0)).toBe(1);
  });

  it('never let a source through more often than its limit and what drained since', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.array(
          fc.record({
            pauseMs: fc.integer({ min: 0, max: 20_000 }),
            tries: fc.integer({ min: 1, max: 60 }),
            prefix: fc.constantFrom(null, 'phk_aaaa', 'phk_bbbb'),
            succeeds: fc.boolean(),
          }),
          { maxLength: 40 },
        ),
        (perSource, steps) => {
          const attempts = open({ perSource, perPrefix: 1000 });
          let now = 0;
          let failed = 0;
          for (const { pauseMs, tries, prefix, succeeds } of steps) {
            now += pauseMs;
            if (succeeds) attempts.succeeded(guess('a', prefix, 'right'));
            failed += fail(attempts, guess('a', prefix), tries, now);
            expect(failed).toBeLessThanOrEqual(perSource + (now * perSource) / MINUTE + 1e-6);
          }
        },
      ),
    );
  });

  it('never make anybody wait longer than one failure drains, or a minute at a prefix', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 20 }),
        fc.array(
          fc.tuple(
            fc.constantFrom('a', 'b', 'c'),
            fc.constantFrom(null, 'phk_aaaa', 'phk_bbbb'),
            fc.integer({ min: 0, max: 5000 }),
          ),
          { maxLength: 200 },
        ),
        (perSource, perPrefix, tries) => {
          const attempts = open({ perSource, perPrefix });
          let now = 0;
          for (const [source, prefix, pauseMs] of tries) {
            now += pauseMs;
            const wait = attempts.waitMs(guess(source, prefix), now);
            expect(wait).toBeGreaterThanOrEqual(0);
            expect(wait).toBeLessThanOrEqual(Math.max(MINUTE / perSource, MINUTE) + 1e-6);
            // What it says is enough.
            if (wait > 0) expect(attempts.waitMs(guess(source, prefix), now + wait + 1e-3)).toBe(0);
            else attempts.failed(guess(source, prefix), now);
          }
        },
      ),
    );
  });

  it('take bounded memory, whoever sends what', () => {
    const attempts = open({ remembered: 10 });
    for (let each = 0; each < 1000; each += 1) {
      attempts.failed(guess(`source ${each}`, `phk_${each}`), each);
      attempts.succeeded(guess(`source ${each}`, null, `good ${each}`));
    }
    expect(attempts.size).toBe(40);
  });

  it('are forgotten for the source that failed longest ago first', () => {
    const attempts = open({ remembered: 2, perSource: 1 });
    for (const source of ['a', 'b']) attempts.failed(guess(source, null), 0);
    attempts.failed(guess('a', null), 1);
    attempts.failed(guess('c', null), 1);
    expect(attempts.waitMs(guess('a', null), 1)).toBeGreaterThan(0);
    expect(attempts.waitMs(guess('b', null), 1)).toBe(0);
  });
});
