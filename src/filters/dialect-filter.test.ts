import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compile } from './compile.js';
import type { FilteredEvent } from './condition.js';
import { readFilter } from './read-filter.js';

const EVENT: FilteredEvent = {
  type: 'invoice.paid',
  data: { amount: 100, paid: true, customer: { country: 'CH' }, ids: ['a1', 'b2'] },
  tags: ['vip', 'new'],
  priority: null,
};

function matches(filter: unknown, event: FilteredEvent = EVENT): boolean {
  const read = readFilter(filter);
  if ('faults' in read || !read.filter.condition) throw new Error(JSON.stringify(read));
  return compile(read.filter.condition)(event);
}

function faultsOf(filter: unknown): string[] {
  const read = readFilter(filter);
  return 'faults' in read ? read.faults.map(({ path, detail }) => `${path.join('/')}: ${detail}`) : [];
}

describe('the filter dialects of CloudEvents subscriptions', () => {
  it.each([
    [{ exact: { type: 'invoice.paid' } }, true],
    [{ exact: { type: 'invoice' } }, false],
    [{ exact: { type: 'INVOICE.PAID' } }, false],
    [{ exact: { type: 'invoice.paid', 'data.customer.country': 'CH' } }, true],
    [{ exact: { type: 'invoice.paid', 'data.customer.country': 'US' } }, false],
    [{ exact: { 'data.amount': 100, 'data.paid': true } }, true],
    [{ exact: { 'data.amount': '100' } }, false],
    [{ exact: { tags: 'vip' } }, true],
    [{ exact: { priority: 'high' } }, false],
    [{ prefix: { type: 'invoice.' } }, true],
    [{ suffix: { type: '.paid', 'data.ids': '2' } }, true],
    [{ suffix: { 'data.amount': '00' } }, false],
    [{ all: [{ prefix: { type: 'invoice.' } }, { exact: { tags: 'old' } }] }, false],
    [{ any: [{ prefix: { type: 'user.' } }, { exact: { tags: 'new' } }] }, true],
    [{ not: { any: [{ exact: { tags: 'new' } }, { exact: { tags: 'old' } }] } }, false],
    [[{ exact: { tags: 'new' } }, { not: { exact: { tags: 'old' } } }], true],
    [[{ exact: { tags: 'new' } }, { exact: { tags: 'old' } }], false],
    [{ not: { exact: { 'data.nothing.there': 'x' } } }, true],
  ])('hold as the specification says: %j', (filter, expected) => {
    expect(matches(filter)).toBe(expected);
  });

  it.each([
    [[], ': must be a list of one filter and more'],
    [{ exact: {} }, 'exact: must be an object of attributes and what they must be'],
    [{ exact: { type: '' } }, 'exact/type: must be a text, not an empty one'],
    [{ prefix: { type: 1 } }, 'prefix/type: must be a text, not an empty one'],
    [
      { exact: { source: '/a' } },
      'exact/source: must be `type`, `tags`, `priority`, `data`, or `data.` and a path with dots',
    ],
    [
      { exact: { 'tags.0': 'a' } },
      'exact/tags.0: must be `type`, `tags`, `priority`, `data`, or `data.` and a path with dots',
    ],
    [{ all: [] }, 'all: must be a list of one filter and more'],
    [
      { any: [{ some: 1 }] },
      'any/0/some: there is no such dialect; there are exact, prefix, suffix, all, any, not',
    ],
    [{ sql: 'a' }, 'sql: the dialect `sql` is not supported; there are exact, prefix, suffix, all, any, not'],
    [
      { exact: { type: 'a' }, prefix: { type: 'a' } },
      ': must be an object with one of exact, prefix, suffix, all, any, not',
    ],
    [
      { exact: { type: 'a' }, data: 1 },
      ': must be an object with one of exact, prefix, suffix, all, any, not',
    ],
    [
      { exact: { [`data${'.a'.repeat(16)}`]: 'x' } },
      `exact/data${'.a'.repeat(16)}: must not have more than 16 names`,
    ],
  ])('are refused with the place where they are wrong: %j', (filter, fault) => {
    expect(faultsOf(filter)).toEqual([fault]);
  });

  const attribute = fc.constantFrom('type', 'tags', 'data.a', 'data.b.a');
  const text = fc.constantFrom('a', 'ab', 'b');
  const { expression } = fc.letrec<{ expression: Dialect }>((tie) => ({
    expression: fc.oneof(
      // Filters may not be nested deeper than 16 levels, of which a list of them is two.
      { depthSize: 'small', maxDepth: 6 },
      fc
        .tuple(fc.constantFrom('exact', 'prefix', 'suffix'), fc.dictionary(attribute, text, { minKeys: 1 }))
        .map(([dialect, asked]) => ({ [dialect]: asked })),
      fc
        .tuple(fc.constantFrom('all', 'any'), fc.array(tie('expression'), { minLength: 1, maxLength: 3 }))
        .map(([dialect, of]) => ({ [dialect]: of })),
      tie('expression').map((of) => ({ not: of })),
    ),
  }));
  const values = fc.oneof(text, fc.array(text, { maxLength: 2 }), fc.constant(1));
  const event = fc.record({
    type: text,
    data: fc.record({ a: values, b: fc.record({ a: values }) }, { requiredKeys: [] }),
    tags: fc.array(text, { maxLength: 2 }),
    priority: fc.constant(null),
  });

  it('say the same as an evaluator that knows nothing of trees', () => {
    fc.assert(
      fc.property(fc.array(expression, { minLength: 1, maxLength: 2 }), event, (asked, of) => {
        expect(matches(asked, of)).toBe(asked.every((one) => says(one, of)));
      }),
      { numRuns: 5_000 },
    );
  });
});

type Dialect = Record<string, unknown>;

const HOLDS: Record<string, (value: string, asked: string) => boolean> = {
  exact: (value, asked) => value === asked,
  prefix: (value, asked) => value.startsWith(asked),
  suffix: (value, asked) => value.endsWith(asked),
};

function says(expression: Dialect, event: FilteredEvent): boolean {
  const [[dialect, asked] = ['', null]] = Object.entries(expression);
  if (dialect === 'not') return !says(asked as Dialect, event);
  if (dialect === 'all') return (asked as Dialect[]).every((one) => says(one, event));
  if (dialect === 'any') return (asked as Dialect[]).some((one) => says(one, event));
  return Object.entries(asked as Record<string, string>).every(([attribute, wanted]) => {
    let value: unknown = event;
    for (const part of attribute.split('.')) value = (value as Record<string, unknown> | undefined)?.[part];
    return [value].flat().some((each) => typeof each === 'string' && HOLDS[dialect]?.(each, wanted));
  });
}
