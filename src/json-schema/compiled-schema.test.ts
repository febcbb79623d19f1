import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CompiledSchema } from './compiled-schema.js';
import { DIALECT, SchemaRefusedError } from './schema-rules.js';

const mismatches = (schema: unknown, value: unknown) => CompiledSchema.compile(schema).mismatches(value);
const refusal = (schema: unknown) => {
  try {
    CompiledSchema.compile(schema);
  } catch (error) {
    if (error instanceof SchemaRefusedError) return { pointer: error.pointer, message: error.message };
    throw error;
  }
  return null;
};

describe('a compiled schema', () => {
  it('tells where a value is not as it says, and how', () => {
    const schema = {
      $schema: DIALECT,
      type: 'object',
      properties: { amount: { type: 'integer', minimum: 1 }, 'a/b': { type: 'string' } },
      required: ['amount', 'currency'],
      additionalProperties: false,
    };
    expect(mismatches(schema, { amount: 5, currency: 'x' })).toEqual([
      { pointer: '/currency', detail: 'must not be there' },
    ]);
    expect(mismatches(schema, { amount: 0, 'a/b': 1 })).toEqual(
      expect.arrayContaining([
        { pointer: '', detail: "must have required property 'currency'" },
        { pointer: '/amount', detail: 'must be >= 1' },
        { pointer: '/a~1b', detail: 'must be string' },
      ]),
    );
    expect(mismatches({ prefixItems: [true, { const: 2 }], unevaluatedItems: false }, [1, 2])).toEqual([]);
  });

  it('tells twenty mismatches at most', () => {
    expect(
      mismatches(
        { items: { type: 'string' } },
        Array.from({ length: 100 }, () => 1),
      ),
    ).toHaveLength(20);
  });

  it('follows references inside of itself, round and round too', () => {
    const tree = {
      $defs: {
        node: { type: 'object', properties: { next: { $ref: '#/$defs/node' }, n: { type: 'number' } } },
      },
      $ref: '#/$defs/node',
    };
    expect(mismatches(tree, { next: { next: { n: 1 } } })).toEqual([]);
    expect(mismatches(tree, { next: { next: { n: 'x' } } })).toEqual([
      { pointer: '/next/next/n', detail: 'must be number' },
    ]);
    let deep: unknown = {};
    for (let level = 0; level < 100_000; level += 1) deep = { next: deep };
    expect(mismatches(tree, deep)).toEqual([{ pointer: '', detail: 'is too deep to be checked' }]);
  });

  it('sees members of the value alone, whatever they are called', () => {
    for (const name of ['toString', 'constructor', '__proto__']) {
      const schema = JSON.parse(
        `{"required":["${name}"],"properties":{"${name}":{"type":"number"}}}`,
      ) as unknown;
      expect([name, mismatches(schema, {}).length]).toEqual([name, 1]);
      expect([name, mismatches(schema, JSON.parse(`{"${name}":1}`))]).toEqual([name, []]);
    }
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('checks no format', () => {
    expect(mismatches({ format: 'date-time' }, 'yesterday')).toEqual([]);
  });

  it.each([
    ['https://example.com/schema.json', '/properties/a/$ref'],
    ['other.json', '/properties/a/$ref'],
    [DIALECT, '/properties/a/$ref'],
    [5, '/properties/a/$ref'],
  ])('refuses a reference to %s', ($ref, pointer) => {
    expect(refusal({ properties: { a: { $ref } } })?.pointer).toBe(pointer);
  });

  it.each([
    [null, ''],
    ['string', ''],
    [{ properties: { a: 1 } }, '/properties/a'],
    [{ $schema: 'http://json-schema.org/draft-07/schema#' }, '/$schema'],
    [{ $async: true }, '/$async'],
    [{ $ref: '#/$defs/nowhere' }, ''],
    [{ type: 'text' }, ''],
    [{ allOf: [{ pattern: '(?=a)b' }] }, '/allOf/0/pattern'],
    [{ pattern: '(a)\\1' }, '/pattern'],
    [{ pattern: '(((a{1,100}){1,100}){1,100}){1,100}' }, '/pattern'],
    [{ pattern: 'a'.repeat(1_001) }, '/pattern'],
    [{ patternProperties: { '(?<!x)y': true } }, '/patternProperties/(?<!x)y'],
    [{ enum: Array.from({ length: 20_000 }, (_, index) => index) }, ''],
    [{ const: 'x'.repeat(300_000) }, ''],
    [{ anyOf: Array.from({ length: 501 }, () => ({ pattern: 'a' })) }, '/anyOf/0/pattern'],
    [{ $id: DIALECT }, ''],
  ])('refuses %j', (schema, pointer) => {
    expect(refusal(schema)).toMatchObject({ pointer, message: expect.stringMatching(/\S/) });
  });

  it('refuses what is nested without end', () => {
    for (const depth of [65, 50_000]) {
      let schema: unknown = true;
      for (let level = 0; level < depth; level += 1) schema = { not: schema };
      expect(refusal(schema)?.message).toMatch(/levels/);
    }
  });

  it('takes no property for a keyword', () => {
    const schema = {
      properties: { pattern: { type: 'string' }, $ref: { const: 1 }, enum: true },
      default: { pattern: '(?=a)' },
    };
    expect(mismatches(schema, { pattern: '(', $ref: 1 })).toEqual([]);
  });

  it('is through with a pattern that others would choke on', () => {
    const schema = { pattern: '^(a+)+$', propertyNames: { pattern: '^(([a-z])+.)+[A-Z]([a-z])+$' } };
    expect(mismatches(schema, `${'a'.repeat(50_000)}!`)).toEqual([
      { pointer: '', detail: 'must match pattern "^(a+)+$"' },
    ]);
    expect(mismatches(schema, { ['a'.repeat(20_000)]: 1 }).length).toBeGreaterThan(0);
  });

  it('finds items that are the same among very many', () => {
    const items = Array.from({ length: 50_000 }, (_, index) => ({ a: index, b: [index] }));
    expect(mismatches({ uniqueItems: true }, items)).toEqual([]);
    expect(mismatches({ uniqueItems: true }, [...items, { b: [7], a: 7 }])).toEqual([
      { pointer: '', detail: 'must NOT have duplicate items' },
    ]);
    expect(mismatches({ uniqueItems: false }, [1, 1])).toEqual([]);
  });

  it('needs a watch where references may multiply the work, or there is much of it', () => {
    expect(CompiledSchema.compile({ type: 'object' }).isQuick(1_000)).toBe(true);
    expect(CompiledSchema.compile({ enum: Array.from({ length: 5_000 }, String) }).isQuick(1_000)).toBe(
      false,
    );
    expect(CompiledSchema.compile({ $ref: '#/$defs/a', $defs: { a: true } }).isQuick(1)).toBe(false);
  });

  it.each([
    ['enum', (value: unknown) => ({ enum: ['other', value] })],
    ['const', (value: unknown) => ({ const: value })],
  ])('compares with %s what has members that objects inherit', (_, schemaOf) => {
    for (const name of ['valueOf', 'toString', 'constructor', 'hasOwnProperty', '__proto__']) {
      const of = (value: number): unknown => JSON.parse(`{"a":[{"${name}":${value}}]}`);
      expect(mismatches(schemaOf(of(1)), of(1))).toEqual([]);
      expect(mismatches(schemaOf(of(1)), of(2))).toHaveLength(1);
    }
  });

  it('never throws anything but a refusal, whatever it is made of', () => {
    const word = fc.constantFrom(
      'type',
      '$ref',
      '$id',
      'items',
      'properties',
      'enum',
      'pattern',
      '__proto__',
      '$anchor',
      'required',
      'if',
      '$dynamicRef',
    );
    const { json } = fc.letrec((tie) => ({
      json: fc.oneof(
        { depthSize: 'small' },
        fc.constantFrom('string', '#', '#/properties', '(a', '#x', 'urn:x', true, false, 1, null),
        fc.array(tie('json'), { maxLength: 3 }),
        fc.dictionary(word, tie('json'), { maxKeys: 4 }),
      ),
    }));
    fc.assert(
      fc.property(json, json, (schema, value) => {
        if (refusal(schema) === null) expect(Array.isArray(mismatches(schema, value))).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
