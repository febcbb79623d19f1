import { describe, expect, it } from '@jest/globals';
import { checkCel } from './cel.js';
import { compile, TooCostly } from './compile.js';
import type { FilteredEvent } from './condition.js';
import { MAX_CHARACTERS, MAX_COST, MAX_DEPTH, MAX_FAULTS, MAX_PARTS } from './limits.js';
import { readFilter } from './read-filter.js';

function faultsOf(filter: unknown): string[] {
  const read = readFilter(filter);
  return 'faults' in read ? read.faults.map(({ path, detail }) => `${path.join('/')}: ${detail}`) : [];
}

function nested(levels: number): unknown {
  let condition: unknown = 1;
  for (let level = 0; level < levels; level += 1) condition = { a: condition };
  return { data: condition };
}

const eventOf = (data: unknown): FilteredEvent => ({ type: 'a', data, tags: [], priority: null });

function matches(filter: unknown, data: unknown): boolean {
  const read = readFilter(filter);
  if ('faults' in read || !read.filter.condition) throw new Error(JSON.stringify(read));
  return compile(read.filter.condition)(eventOf(data));
}

describe('reading a filter', () => {
  it('takes as much as the limits say, and no more', () => {
    expect(faultsOf(nested(MAX_DEPTH - 1))).toEqual([]);
    expect(faultsOf(nested(MAX_DEPTH))).toEqual([
      expect.stringContaining(`must not be nested deeper than ${MAX_DEPTH} levels`),
    ]);
    const many = (count: number) => ({ data: { $in: Array.from({ length: count }, (_, index) => index) } });
    expect(faultsOf(many(MAX_PARTS - 10))).toEqual([]);
    expect(faultsOf(many(MAX_PARTS))).toEqual([
      expect.stringContaining(`the filter must not have more than ${MAX_PARTS} parts`),
    ]);
    const long = (length: number) => ({ data: { name: 'x'.repeat(length) } });
    expect(faultsOf(long(MAX_CHARACTERS - 10))).toEqual([]);
    expect(faultsOf(long(MAX_CHARACTERS))).toEqual([
      `data/name: the filter must not have more than ${MAX_CHARACTERS} characters`,
    ]);
  });

  it('bounds operands as it does conditions', () => {
    let operand: unknown = 1;
    for (let level = 0; level < MAX_DEPTH; level += 1) operand = [operand];
    expect(faultsOf({ data: { $eq: operand } })).toEqual([
      expect.stringContaining(`must not be nested deeper than ${MAX_DEPTH} levels`),
    ]);
  });

  it('tells all that is wrong, up to a bound', () => {
    expect(faultsOf({ nme: 1, data: { $lt: null, b: { $exist: 1, $in: [] } } })).toEqual([
      'nme: must be one of `type`, `data`, `tags`, `priority`, `$and`, `$or`, `$not`',
      'data/$lt: must be a number or a text',
      'data/b/$exist: must be true or false',
      'data/b/$in: must be a list of one value and more',
    ]);
    const wrong = Array.from({ length: 100 }, () => ({ wrong: 1 }));
    expect(faultsOf({ $or: wrong })).toHaveLength(MAX_FAULTS);
  });

  it.each([
    [{ data: {} }, 'data: must not be empty'],
    [{ data: [] }, 'data: must not be empty'],
    [{ data: { a: { $not: {} } } }, 'data/a/$not: must not be empty'],
    [
      { data: { a: { $startsWith: ['a', ''] } } },
      'data/a/$startsWith: must be a text, or a list of texts, none of them empty',
    ],
    [{ $and: { type: 'a' } }, '$and: must be a list of one condition and more'],
    [{ $gt: 1 }, '$gt: must be one of `type`, `data`, `tags`, `priority`, `$and`, `$or`, `$not`'],
    [{ $or: [{ cel: 'true' }] }, '$or/0/cel: `cel` stands beside the fields of the event, not within'],
    [{ $not: 'a' }, '$not: must be an object'],
    [{ cel: 5 }, 'cel: must be a CEL expression'],
    [{ cel: 'true || '.repeat(300) }, 'cel: must not have more than 2000 characters'],
  ])('refuses %j', (filter, fault) => {
    expect(faultsOf(filter)).toEqual([fault]);
  });
});

describe('CEL in a filter', () => {
  it.each([
    'true',
    'event.data.amount > 100 && event.type.startsWith("invoice.")',
    'event.data.items.filter(i, i.price > 5).exists(i, i.name == "a")',
    'event.data.flag',
    'cel.bind(total, event.data.total, total > 5 && total < 10)',
    '"matches" in event.tags || event.data.matches',
  ])('may be %s', (source) => {
    expect(checkCel(source)).toBeNull();
  });

  it.each([
    ['', 'Unexpected token: EOF'],
    ['event.data ==', 'Unexpected token: EOF'],
    ['event.type.split(".").size() > 1', '`split` is not supported'],
    ['event.tags.join("") == "a"', '`join` is not supported'],
    ['name == 1', 'Unknown variable: name'],
    ['size(event.tags)', 'must be true or false, not of the type int'],
    ['"a".matches("(a+)+$")', '`matches` is not supported: use `startsWith`, `endsWith` or `contains`'],
    [
      '[1].all(x, "a".matches("b"))',
      '`matches` is not supported: use `startsWith`, `endsWith` or `contains`',
    ],
    [
      '{"a": event.type.matches("b")}["a"]',
      '`matches` is not supported: use `startsWith`, `endsWith` or `contains`',
    ],
    [
      '[1].map(x, [2].map(y, x)).size() > 0',
      '`map` must not stand within another of all, exists, exists_one, map, filter',
    ],
    [
      '[1].all(x, true ? [2].exists(y, y > 1) : false)',
      '`exists` must not stand within another of all, exists, exists_one, map, filter',
    ],
  ])('must not be %s', (source, fault) => {
    expect(checkCel(source)).toBe(fault);
  });
});

describe('evaluating a filter', () => {
  const list = (length: number) => ({ list: Array.from({ length }, (_, index) => index) });

  it('is given up where it would look at more than it may', () => {
    const filter = { data: { list: -1 } };
    expect(matches(filter, list(MAX_COST - 10))).toBe(false);
    expect(() => matches(filter, list(MAX_COST))).toThrow(TooCostly);
    expect(matches({ data: { list: 0 } }, list(MAX_COST))).toBe(true);
  });

  it.each([
    ['members of elements', { data: { list: { name: 1 } } }],
    ['order', { data: { list: { $gt: 100_000 } } }],
    ['texts', { data: { list: { $endsWith: 'a' } } }],
    ['what is contained', { data: { list: ['a'] } }],
    ['lists to equal', { data: { list: [{ $eq: ['a'] }] } }],
  ])('counts %s', (_, filter) => {
    expect(() => matches(filter, list(MAX_COST))).toThrow(TooCostly);
  });

  it('counts the members of an object that is to be equalled', () => {
    const object = Object.fromEntries(Array.from({ length: MAX_COST }, (_, index) => [`m${index}`, 0]));
    expect(() => matches({ data: { $eq: { m1: 0 } } }, object)).toThrow(TooCostly);
  });

  it('takes data of any depth and texts of any length', () => {
    const deep = JSON.parse(`${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`) as unknown;
    expect(matches({ data: { a: { a: { $exist: true } } } }, deep)).toBe(true);
    expect(matches({ data: { $eq: { a: { a: 1 } } } }, deep)).toBe(false);
    const long = 'a'.repeat(10 * 1024 * 1024);
    expect(matches({ data: { $startsWith: 'aa', $endsWith: ['b', 'a'] } }, long)).toBe(true);
    expect(matches({ data: { $gt: 'b' } }, long)).toBe(false);
  });
});
