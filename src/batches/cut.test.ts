import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type Collected, cut } from './cut.js';

const of = (...bytes: number[]): Collected[] => bytes.map((each) => ({ bytes: each, test: false }));

describe('cutting what is collected into batches', () => {
  const limits = { maxEvents: 3, maxBytes: 10 };

  it('closes a batch that has as many events as it may', () => {
    expect(cut(of(1, 1, 1, 1), limits, false)).toEqual([3]);
  });

  it('closes a batch before an event that does not fit, and at one that fills it', () => {
    expect(cut(of(6, 5, 5, 1), limits, false)).toEqual([1, 2]);
  });

  it('sends an event alone that is larger than a batch may be', () => {
    expect(cut(of(1, 50, 1), limits, true)).toEqual([1, 1, 1]);
  });

  it('leaves what fills no batch, unless all is to go', () => {
    expect(cut(of(1, 1), limits, false)).toEqual([]);
    expect(cut(of(1, 1), limits, true)).toEqual([2]);
    expect(cut([], limits, true)).toEqual([]);
  });

  it('does not mix tests with what is none', () => {
    const items = [true, true, false].map((test) => ({ bytes: 1, test }));
    expect(cut(items, limits, true)).toEqual([2, 1]);
  });

  const items = fc.array(fc.record({ bytes: fc.nat(20), test: fc.boolean() }), { maxLength: 60 });
  const bounds = fc.record({
    maxEvents: fc.integer({ min: 1, max: 8 }),
    maxBytes: fc.integer({ min: 1, max: 40 }),
  });
  const batchesOf = (all: Collected[], lengths: number[]) => {
    let from = 0;
    return lengths.map((length) => all.slice(from, (from += length)));
  };
  const bytesOf = (batch: Collected[]) => batch.reduce((sum, { bytes }) => sum + bytes, 0);

  it('never makes a batch that is empty, mixed, too long, or too large with more than one event', () => {
    fc.assert(
      fc.property(items, bounds, fc.boolean(), (all, limits, rest) => {
        for (const batch of batchesOf(all, cut(all, limits, rest))) {
          expect(batch.length).toBeGreaterThan(0);
          expect(batch.length).toBeLessThanOrEqual(limits.maxEvents);
          expect(batch.length === 1 || bytesOf(batch) <= limits.maxBytes).toBe(true);
          expect(new Set(batch.map(({ test }) => test)).size).toBe(1);
        }
      }),
    );
  });

  it('takes every event once when all is to go, and else leaves no more than fits into one batch', () => {
    fc.assert(
      fc.property(items, bounds, (all, limits) => {
        const sum = (lengths: number[]) => lengths.reduce((total, length) => total + length, 0);
        expect(sum(cut(all, limits, true))).toBe(all.length);
        const left = all.slice(sum(cut(all, limits, false)));
        expect(left.length).toBeLessThan(limits.maxEvents);
        expect(bytesOf(left)).toBeLessThan(limits.maxBytes);
      }),
    );
  });

  it('closes no batch that the next event would have fitted into', () => {
    fc.assert(
      fc.property(items, bounds, (all, limits) => {
        const batches = batchesOf(all, cut(all, limits, true));
        batches.slice(1).forEach((batch, index) => {
          const before = batches[index] ?? [];
          const [first] = batch;
          const fits =
            before.length < limits.maxEvents &&
            bytesOf(before) + (first?.bytes ?? 0) <= limits.maxBytes &&
            bytesOf(before) < limits.maxBytes &&
            before[0]?.test === first?.test;
          expect(fits).toBe(false);
        });
      }),
    );
  });
});
