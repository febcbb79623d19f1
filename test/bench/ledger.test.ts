import { describe, expect, test } from '@jest/globals';
import { Ledger } from '../../bench/receiver/ledger.js';

const PATIENT = { stalledAfterMs: 60_000, settleMs: 0 };

describe("the bench's receiver", () => {
  test('waits until everything asked for has arrived, and says when it first did', async () => {
    const ledger = new Ledger();
    ledger.note('a', 1);
    const collected = ledger.collect({ keys: ['b', 'a'], ...PATIENT });
    ledger.note('other', 2);
    ledger.note('b', 3);
    expect(await collected).toEqual({ atMs: [3, 1], twice: 0 });
  });

  test('counts every arrival beyond the first', async () => {
    const ledger = new Ledger();
    for (const atMs of [1, 2, 3]) ledger.note('a', atMs);
    expect(await ledger.collect({ keys: ['a'], ...PATIENT })).toEqual({ atMs: [1], twice: 2 });
  });

  test('gives up once nothing arrives any more, and says what is missing', async () => {
    const ledger = new Ledger();
    ledger.note('a', 1);
    const collected = await ledger.collect({ keys: ['a', 'b'], stalledAfterMs: 1, settleMs: 0 });
    expect(collected).toEqual({ atMs: [1, Number.NaN], twice: 0 });
  });

  test('does not wait when told so', async () => {
    const collected = await new Ledger().collect({ keys: ['a'], stalledAfterMs: 0, settleMs: 0 });
    expect(collected).toEqual({ atMs: [Number.NaN], twice: 0 });
  });
});
