import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import {
  choiceOf,
  deleteAt,
  EVERY,
  type Json,
  omit,
  parsePath,
  pick,
  type Segment,
  setAt,
  valueAt,
} from './json-path.js';

const pathOf = (text: string): Segment[] => parsePath(text) ?? [];
const picked = (value: Json, ...paths: string[]) => pick(value, [choiceOf(paths.map(pathOf))]);
const omitted = (value: Json, ...paths: string[]) => omit(value, [choiceOf(paths.map(pathOf))]);

describe('a path', () => {
  test.each<[string, Segment[]]>([
    ['data', ['data']],
    ['$.data', ['data']],
    ['data.customer.first-name', ['data', 'customer', 'first-name']],
    ['data.items[0].price', ['data', 'items', 0, 'price']],
    ['data.items[*]', ['data', 'items', EVERY]],
    ['data["odd name"].x', ['data', 'odd name', 'x']],
    ['["a\\"b"]', ['a"b']],
    ['data.__proto__', ['data', '__proto__']],
  ])('%s leads where it says', (text, segments) => {
    expect(parsePath(text)).toEqual(segments);
  });

  test.each([
    '',
    '.',
    '.data',
    'data.',
    'data..x',
    'data[',
    'data[-1]',
    'data[x]',
    'data["x]',
    'a b',
    'data[1e3]',
    '["\\q"]',
  ])('%j is none', (text) => {
    expect(parsePath(text)).toBeNull();
  });

  it('has 32 parts at most', () => {
    expect(parsePath(Array(32).fill('a').join('.'))).toHaveLength(32);
    expect(parsePath(Array(33).fill('a').join('.'))).toBeNull();
  });

  it('is read in time that grows with its length alone', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...Array.from('a.[]*"\\$0')), maxLength: 500 }),
        (text) => {
          expect(() => parsePath(text)).not.toThrow();
        },
      ),
    );
  });
});

describe('picking', () => {
  const event = { type: 't', data: { a: 1, b: { c: 2, d: 3 }, items: [{ x: 1, y: 2 }, { x: 3 }, 'z'] } };

  it('keeps what is chosen, in its place', () => {
    expect(picked(event, 'data.b.c', 'type')).toEqual({ type: 't', data: { b: { c: 2 } } });
  });

  it('keeps chosen elements, and parts of them', () => {
    expect(picked(event, 'data.items[1]')).toEqual({ data: { items: [{ x: 3 }] } });
    expect(picked(event, 'data.items[*].x')).toEqual({ data: { items: [{ x: 1 }, { x: 3 }] } });
    expect(picked(event, 'data.items[*].x', 'data.items[0].y')).toEqual({
      data: { items: [{ x: 1, y: 2 }, { x: 3 }] },
    });
  });

  it('finds nothing where nothing is', () => {
    expect(
      picked(event, 'data.nope', 'data.a.b', 'data.b[0]', 'constructor', 'data.items.length'),
    ).toBeUndefined();
  });
});

describe('omitting', () => {
  it('removes what is chosen and leaves the rest', () => {
    const event = { data: { a: 1, b: { c: 2, d: 3 }, items: [{ x: 1, y: 2 }, { x: 3 }, 'z'] } };
    expect(omitted(event, 'data.b.c', 'data.items[*].x', 'data.items[2]', 'data.nope.x')).toEqual({
      data: { a: 1, b: { d: 3 }, items: [{ y: 2 }, {}] },
    });
  });
});

describe('setting', () => {
  it('makes the objects on the way', () => {
    const event = { data: {} };
    expect(setAt(event, pathOf('data.a.b'), 1)).toBe(true);
    expect(event).toEqual({ data: { a: { b: 1 } } });
  });

  it('puts elements where they are or come next, and goes through nothing else', () => {
    const event = { data: { list: [1], text: 'x' } };
    expect(setAt(event, pathOf('data.list[1]'), 2)).toBe(true);
    expect(setAt(event, pathOf('data.list[5]'), 2)).toBe(false);
    expect(setAt(event, pathOf('data.list.length'), 0)).toBe(false);
    expect(setAt(event, pathOf('data.text.x'), 0)).toBe(false);
    expect(event.data.list).toEqual([1, 2]);
  });
});

describe('names that prototypes have', () => {
  const NAMES = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'];

  it('are names like any other, and change no prototype', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 5 }), (path) => {
        const value: Json = {};
        expect(valueAt(value, path)).toBeUndefined();
        expect(setAt(value, path, 'put')).toBe(true);
        expect(valueAt(value, path)).toBe('put');
        expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
        expect(JSON.stringify(value)).toBe(
          path.reduceRight((inner, name) => `{"${name}":${inner}}`, '"put"'),
        );
        expect(({} as Record<string, unknown>).put).toBeUndefined();
        expect(Object.keys(Object.prototype)).toEqual([]);
        deleteAt(value, path);
        expect(valueAt(value, path)).toBeUndefined();
      }),
    );
  });
});

describe('of any value', () => {
  const json = fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<Json>;
  const name = fc.constantFrom('a', 'b', '__proto__', 'c d');
  const segment = fc.oneof(name, fc.nat(3), fc.constant(EVERY));
  const paths = fc.array(fc.array<Segment>(segment, { minLength: 1, maxLength: 4 }), { maxLength: 4 });
  const tree: fc.Arbitrary<Json> = fc.letrec<{ tree: Json }>((tie) => ({
    tree: fc.oneof(
      { depthSize: 'small' },
      fc.integer(),
      fc.array(tie('tree'), { maxLength: 4 }),
      fc.dictionary(name, tie('tree'), { maxKeys: 4 }),
    ),
  })).tree;
  const leaves = (value: Json): number =>
    value === null || typeof value !== 'object'
      ? 1
      : Object.values(value).reduce<number>((sum, part) => sum + leaves(part), 0);

  it('what is picked and what is left by omitting the same make up the whole', () => {
    fc.assert(
      fc.property(tree, paths, (value, chosen) => {
        const choices = [choiceOf(chosen)];
        const kept = pick(value, choices);
        expect((kept === undefined ? 0 : leaves(kept)) + leaves(omit(value, choices))).toBe(leaves(value));
      }),
    );
  });

  it('omitting twice is omitting once where no elements are numbered', () => {
    const unnumbered = fc.array(
      fc.array<Segment>(fc.oneof(name, fc.constant(EVERY)), { minLength: 1, maxLength: 4 }),
    );
    fc.assert(
      fc.property(tree, unnumbered, (value, chosen) => {
        const choices = [choiceOf(chosen)];
        expect(omit(omit(value, choices), choices)).toEqual(omit(value, choices));
      }),
    );
  });

  it('nothing omitted is nothing changed', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(omit(value, [choiceOf([])])).toEqual(value);
      }),
    );
  });
});
