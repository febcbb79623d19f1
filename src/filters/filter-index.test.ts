import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type FilteredEndpoint, FilterIndex, takesType } from './filter-index.js';
import { readFilter } from './read-filter.js';
import { Slices } from './slices.js';
import { Turns } from '../common/turns.js';
import { Bits } from './verdict.js';

const TYPES = ['a', 'a.b', 'a.b.c', 'ab', 'b', 'b.a', 'posthorn.a'];
const patterns = fc.constantFrom(...TYPES, 'a.*', 'a.b.*', 'b.*', 'posthorn.*');
const endpoints = fc
  .array(
    fc.record({
      eventTypes: fc.option(fc.array(patterns, { minLength: 1, maxLength: 3 })),
      asked: fc.option(fc.subarray(TYPES, { minLength: 1 })),
    }),
    { maxLength: 20 },
  )
  .map((each) =>
    each.map(({ eventTypes, asked }, slot): FilteredEndpoint & { asked: string[] | null } => {
      const read = asked === null ? null : readFilter({ type: { $in: asked } });
      const filter = read && 'filter' in read ? read.filter : null;
      return { id: `e${slot}`, slot, eventTypes, filter, asked };
    }),
  );

describe('the index of filtered endpoints', () => {
  it('has for each type those that take it and do not ask for others, each once', () => {
    fc.assert(
      fc.property(endpoints, fc.constantFrom(...TYPES), (all, type) => {
        const found = new FilterIndex(all).candidates(type).map(({ slot }) => slot);
        const expected = all
          .filter(
            ({ eventTypes, asked }) =>
              takesType(eventTypes, type) && (asked === null || asked.includes(type)),
          )
          .map(({ slot }) => slot);
        expect(found.toSorted((one, other) => one - other)).toEqual(expected);
      }),
      { numRuns: 1_000 },
    );
  });

  it('takes types as the publish statement does: by name, by prefix, and not our own unless named', () => {
    expect(takesType(null, 'a.b')).toBe(true);
    expect(takesType(null, 'posthorn.a')).toBe(false);
    expect(takesType(['posthorn.*'], 'posthorn.a')).toBe(true);
    expect(takesType(['a.*'], 'a')).toBe(false);
    expect(takesType(['a.*'], 'a.b.c')).toBe(true);
    expect(takesType(['a'], 'a.b')).toBe(false);
  });

  it('has a bit for every slot', () => {
    const at = (slot: number): FilteredEndpoint => ({ id: 'e', slot, eventTypes: null, filter: null });
    expect(new FilterIndex([]).bytes).toBe(0);
    expect(new FilterIndex([at(7)]).bytes).toBe(1);
    expect(new FilterIndex([at(8), at(2)]).bytes).toBe(2);
  });
});

describe('bits', () => {
  it('are written as PostgreSQL reads bytes and counts their bits', () => {
    const bits = new Bits(2);
    bits.set(0);
    bits.set(3);
    bits.set(15);
    expect(String(bits)).toBe('\\x0980');
  });
});

describe('turns', () => {
  it('go round those that wait', () => {
    const turns = new Turns<number>();
    for (const item of [1, 2, 3]) turns.add('a', item);
    turns.add('b', 4);
    turns.add('c', 5);
    const taken = Array.from({ length: 6 }, () => turns.take()?.item);
    expect(taken).toEqual([1, 4, 5, 2, 3, undefined]);
  });

  it('leave out who rests', () => {
    const turns = new Turns<number>();
    turns.add('a', 1);
    turns.add('b', 2);
    expect(turns.take(new Set(['a']))?.item).toBe(2);
    expect(turns.take(new Set(['a']))).toBeNull();
    expect(turns.take()?.item).toBe(1);
  });
});

describe('slices', () => {
  it('let the event loop and others in between', async () => {
    const slices = new Slices();
    const done: string[] = [];
    const busy = (ms: number) => {
      for (const until = performance.now() + ms; performance.now() < until;);
    };
    const long = slices
      .begin('a')(
        Array.from({ length: 320 }, (_, index) => index),
        () => busy(0.5),
      )
      .then(() => done.push('long'));
    const ticked = new Promise((resolve) => setImmediate(resolve)).then(() => done.push('loop'));
    const other = slices
      .begin('b')(
        Array.from({ length: 64 }, (_, index) => index),
        () => busy(0.5),
      )
      .then(() => done.push('short'));
    await Promise.all([long, ticked, other]);
    expect(done).toEqual(['loop', 'short', 'long']);
  });

  it('do each step once, in order', async () => {
    const items = Array.from({ length: 100 }, (_, index) => index);
    const done: number[] = [];
    await new Slices().begin('a')(items, (item) => void done.push(item));
    expect(done).toEqual(items);
  });
});
