import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compile } from './compile.js';
import { type Condition, type FilteredEvent, typesOf } from './condition.js';
import { explain } from './explain.js';
import { readFilter } from './read-filter.js';

/** Few, so that filters and events have them in common. */
const NAMES = ['a', 'b', '__proto__', 'constructor', 'a.b', 'a/b~c'];
const SCALARS = [null, true, false, 0, 1, -1, 2.5, '', 'a', 'ab', 'b', '10'];
const TYPES = ['a', 'a.b', 'b'];

const objectOf = (members: [string, unknown][]): unknown =>
  JSON.parse(
    `{${members.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join()}}`,
  );
const objects = (names: fc.Arbitrary<string>, values: fc.Arbitrary<unknown>, minLength = 0) =>
  fc.array(fc.tuple(names, values), { minLength, maxLength: 3 }).map(objectOf);

const scalar = fc.constantFrom(...SCALARS);
const name = fc.constantFrom(...NAMES);
const { json } = fc.letrec((tie) => ({
  json: fc.oneof({ depthSize: 'small', withCrossShrink: true }, scalar, tie('list'), tie('object')),
  list: fc.array(tie('json'), { maxLength: 3 }),
  object: objects(name, tie('json')),
}));

const text = fc.constantFrom('a', 'ab', 'b', '1');
const operatorOn = (condition: fc.Arbitrary<unknown>) =>
  fc
    .oneof(
      fc.tuple(fc.constantFrom('$eq', '$neq'), json),
      fc.tuple(fc.constantFrom('$gt', '$gte', '$lt', '$lte'), fc.constantFrom(0, 1, 2.5, 'a', 'ab', '')),
      fc.tuple(fc.constantFrom('$in', '$nin'), fc.array(json, { minLength: 1, maxLength: 3 })),
      fc.tuple(fc.constantFrom('$startsWith', '$endsWith'), fc.oneof(text, fc.array(text, { minLength: 1 }))),
      fc.tuple(fc.constant('$exist'), fc.boolean()),
      fc.tuple(fc.constantFrom('$and', '$or'), fc.array(condition, { minLength: 1, maxLength: 3 })),
      fc.tuple(fc.constant('$not'), condition),
    )
    .map(([operator, operand]): [string, unknown] => [operator, operand]);
const { condition } = fc.letrec((tie) => ({
  condition: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(operatorOn(scalar), { minLength: 1, maxLength: 2 }).map(objectOf),
    objects(name, tie('condition'), 1),
    fc.array(tie('condition'), { minLength: 1, maxLength: 3 }),
    fc
      .tuple(operatorOn(tie('condition')), fc.tuple(name, tie('condition')))
      .map((members) => objectOf(members)),
  ),
}));

const onType = fc.oneof(
  fc.constantFrom(...TYPES),
  fc.constantFrom(...TYPES).map((type) => ({ $eq: type })),
  fc.subarray(TYPES, { minLength: 1 }).map((types) => ({ $in: types })),
  fc.constantFrom('a', 'b').map((prefix) => ({ $startsWith: prefix })),
  fc.constantFrom(...TYPES).map((type) => ({ $neq: type })),
);
const onEvent = fc
  .tuple(
    fc.option(onType),
    fc.option(condition),
    fc.option(fc.oneof(scalar, fc.constant(['a']), fc.constant({ $nin: ['a'] }))),
    fc.option(fc.constantFrom('high', 'low', null)),
  )
  .map(([type, data, tags, priority]) => ({
    ...(type === null ? {} : { type }),
    ...(data === null ? {} : { data }),
    ...(tags === null ? {} : { tags }),
    ...(priority === null ? {} : { priority }),
  }))
  .filter((fields) => Object.keys(fields).length > 0);
const filter = fc.oneof(
  onEvent,
  fc
    .tuple(fc.constantFrom('$and', '$or'), fc.array(onEvent, { minLength: 1, maxLength: 3 }))
    .map((one) => objectOf([one])),
  onEvent.map((one) => ({ $not: one })),
  fc.tuple(onEvent, onEvent).map(([one, other]) => ({ ...one, $or: [other, { type: 'a' }] })),
);
const event: fc.Arbitrary<FilteredEvent> = fc.record({
  type: fc.constantFrom(...TYPES),
  data: json,
  tags: fc.subarray(['a', 'b', 'ab']),
  priority: fc.constantFrom('high', 'low', null),
});

/** The rules of docs/guides/filters.md once more, over the JSON as it is written: a value in, and no tree, meter or cache. */
function met(asked: unknown, value: unknown): boolean {
  if (Array.isArray(asked))
    return (
      Array.isArray(value) && !asked.some((one) => value.filter((element) => met(one, element)).length === 0)
    );
  if (asked === null || typeof asked !== 'object') return itOrAnElement(value, (each) => same(each, asked));
  const parts = Object.entries(asked);
  const members = parts.filter(([key]) => !key.startsWith('$'));
  const places = Array.isArray(value) ? (value as unknown[]) : [value];
  if (
    members.length > 0 &&
    !places.some((place) => members.every(([key, inner]) => met(inner, memberOf(place, key))))
  )
    return false;
  return parts
    .filter(([key]) => key.startsWith('$'))
    .every(([operator, operand]) => does(operator, operand, value));
}

function does(operator: string, operand: unknown, value: unknown): boolean {
  const list = [operand].flat();
  const compared = (sign: (order: number) => boolean) =>
    itOrAnElement(value, (each) => typeof each === typeof operand && sign(orderOf(each, operand)));
  switch (operator) {
    case '$eq':
      return itOrAnElement(value, (each) => same(each, operand));
    case '$neq':
      return !does('$eq', operand, value);
    case '$in':
      return (operand as unknown[]).some((one) => does('$eq', one, value));
    case '$nin':
      return (operand as unknown[]).every((one) => does('$neq', one, value));
    case '$gt':
      return compared((order) => order > 0);
    case '$gte':
      return compared((order) => order >= 0);
    case '$lt':
      return compared((order) => order < 0);
    case '$lte':
      return compared((order) => order <= 0);
    case '$startsWith':
      return itOrAnElement(value, (each) =>
        list.some((part) => typeof each === 'string' && each.startsWith(String(part))),
      );
    case '$endsWith':
      return itOrAnElement(value, (each) =>
        list.some((part) => typeof each === 'string' && each.slice(-String(part).length) === part),
      );
    case '$exist':
      return (value === undefined) !== operand;
    case '$and':
      return (operand as unknown[]).every((one) => met(one, value));
    case '$or':
      return (operand as unknown[]).some((one) => met(one, value));
    case '$not':
      return !met(operand, value);
    default:
      throw new Error(operator);
  }
}

const itOrAnElement = (value: unknown, holds: (each: unknown) => boolean): boolean =>
  holds(value) || (Array.isArray(value) && value.some(holds));
const memberOf = (place: unknown, key: string): unknown =>
  typeof place === 'object' && place !== null && !Array.isArray(place)
    ? (Object.getOwnPropertyDescriptor(place, key)?.value as unknown)
    : undefined;
const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return {
    members: Object.entries(value)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  };
};
const same = (one: unknown, other: unknown): boolean =>
  JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
const orderOf = (one: unknown, other: unknown): number => {
  if (typeof one === 'number') return one - Number(other);
  return [String(one), String(other)].sort()[0] === one ? (one === other ? 0 : -1) : 1;
};

function read(given: unknown): Condition {
  const result = readFilter(given);
  if ('faults' in result) throw new Error(JSON.stringify(result.faults));
  if (!result.filter.condition) throw new Error('there is no condition');
  return result.filter.condition;
}

describe('a filter', () => {
  it('matches what the rules say', () => {
    fc.assert(
      fc.property(filter, event, (asked, of) => {
        expect(compile(read(asked))(of)).toBe(met(asked, of));
      }),
      { numRuns: 2_000 },
    );
  });

  it('matches data of every shape by every condition as the rules say', () => {
    fc.assert(
      fc.property(condition, json, (asked, data) => {
        const of = { type: 'a', data, tags: [], priority: null };
        expect(compile(read({ data: asked }))(of)).toBe(met(asked, data));
      }),
      { numRuns: 2_000 },
    );
  });

  it('names a condition of its own that is not met exactly when it does not match', () => {
    fc.assert(
      fc.property(filter, event, (asked, of) => {
        const reason = explain(read(asked), of);
        expect(reason === null).toBe(met(asked, of));
        if (reason) expect(valueAt(asked, reason.pointer)).toBeDefined();
      }),
      { numRuns: 2_000 },
    );
  });

  it('is never met by an event of a type that it does not leave open', () => {
    fc.assert(
      fc.property(filter, event, (asked, of) => {
        const types = typesOf(read(asked));
        if (types && !types.has(of.type)) expect(met(asked, of)).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });

  it('is read or refused whatever it is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), condition, json), (given) => {
        const result = readFilter(given);
        if ('faults' in result) expect(result.faults.length).toBeGreaterThan(0);
        else if (result.filter.condition) compile(result.filter.condition);
      }),
    );
  });
});

function valueAt(root: unknown, pointer: string): unknown {
  const parts = pointer.split('/').slice(1);
  return parts.reduce<unknown>((value, part) => {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    return Object.getOwnPropertyDescriptor(Object(value), key)?.value as unknown;
  }, root);
}
