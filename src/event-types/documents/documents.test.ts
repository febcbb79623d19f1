import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { PRIORITIES } from '../../common/priority.js';
import { isObject } from '../../json-schema/schema-rules.js';
import type { EventTypeRecord } from '../event-type-record.js';
import { readAsyncApi, writeAsyncApi } from './asyncapi-document.js';
import { bundleSchema } from './bundle-schema.js';
import { type Documented, DocumentRefusedError } from './documented.js';
import { dataSchema, withoutOwnId } from './envelope.js';
import { readOpenApi, writeOpenApi } from './openapi-document.js';

const FORMATS = { openapi: [writeOpenApi, readOpenApi], asyncapi: [writeAsyncApi, readAsyncApi] } as const;

/** As it would arrive: what JSON cannot hold is gone. */
const sent = (document: unknown) => JSON.parse(JSON.stringify(document)) as Record<string, unknown>;

const readAll = (document: Record<string, unknown>) => {
  const refused: DocumentRefusedError[] = [];
  const read = 'asyncapi' in document ? readAsyncApi : readOpenApi;
  return { found: read(document, (error) => refused.push(error)), refused };
};

/** What a document told of, as it was written. */
const told = (document: unknown, { type, version, schema: given, examples, ...about }: Documented) => {
  if (version === null) return { type, version, about };
  const { schema, isEnvelope } = dataSchema(type, version, given);
  return {
    type,
    version,
    about,
    schema: schema && withoutOwnId(type, version, bundleSchema(document, schema)),
    examples: examples.map(({ value }) => (isEnvelope && isObject(value) ? value.data : value)),
  };
};

const json = fc.jsonValue({ maxDepth: 3, stringUnit: 'grapheme' });
const schema: fc.Arbitrary<unknown> = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.record(
    {
      type: fc.constant('object'),
      properties: fc.dictionary(
        fc.constantFrom('a', 'const', '$ref', '__proto__', 'x/y', '50%'),
        fc.boolean(),
      ),
      $defs: fc.constant({ node: { type: 'object', properties: { next: { $ref: '#/$defs/node' } } } }),
      allOf: fc.constant([{ $ref: '#/$defs/node' }, { $dynamicRef: '#' }]),
      $id: fc.constant('https://example.com/own'),
      enum: fc.array(json, { maxLength: 3 }),
    },
    { requiredKeys: ['$defs'] },
  ),
);
const date = fc.option(fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) }));
const text = fc.string({
  minLength: 1,
  maxLength: 20,
  unit: fc.constantFrom('a', '@', '/', '~', '1', ' ', 'é'),
});
const eventType: fc.Arbitrary<EventTypeRecord> = fc.record({
  name: fc.stringMatching(/^[A-Za-z0-9_-]{1,8}(\.[A-Za-z0-9_-]{1,8}){0,2}$/),
  description: fc.option(text),
  group: fc.option(text),
  priority: fc.option(fc.constantFrom(...PRIORITIES)),
  versions: fc.uniqueArray(
    fc.record({
      version: text,
      schema: schema.map((value) => (value === null ? null : JSON.stringify(value))),
      examples: fc.array(json, { maxLength: 3 }).map((values) => JSON.stringify(values)),
      deprecatedAt: date,
      sunsetAt: date,
      afterSunset: fc.constantFrom('stop' as const, 'move' as const),
    }),
    { selector: ({ version }) => version, maxLength: 4 },
  ),
});
const catalogue = fc.uniqueArray(eventType, { selector: ({ name }) => name, maxLength: 4 });

describe.each(['openapi', 'asyncapi'] as const)('a catalogue that was written as %s', (format) => {
  it('is read as it was, its versions in their order', () => {
    const [write, read] = FORMATS[format];
    fc.assert(
      fc.property(catalogue, (types) => {
        const document = sent(write(types));
        const found = read(document, (error) => {
          throw error;
        });
        for (const { name, description, group, priority, versions } of types) {
          const about = {
            pointer: expect.any(String),
            ...(description === null ? {} : { description }),
            group,
            priority,
          };
          const expected =
            versions.length === 0
              ? [{ type: name, version: null, about: expect.objectContaining({ group, priority }) }]
              : versions.map((version) => ({
                  type: name,
                  version: version.version,
                  about: {
                    ...about,
                    life: {
                      deprecatedAt: version.deprecatedAt?.toISOString() ?? null,
                      sunsetAt: version.sunsetAt?.toISOString() ?? null,
                      afterSunset: version.afterSunset,
                    },
                  },
                  schema: version.schema === null ? null : (JSON.parse(version.schema) as unknown),
                  examples: JSON.parse(version.examples) as unknown[],
                }));
          const own = found.filter(({ type }) => type === name).map((each) => told(document, each));
          expect(own).toEqual(expected);
        }
      }),
      { numRuns: 100 },
    );
  });
});

const PET = { type: 'object', properties: { owner: { $ref: '#/components/schemas/Owner' } } };
const components = {
  schemas: {
    Pet: PET,
    Owner: {
      type: 'object',
      properties: { pets: { type: 'array', items: { $ref: '#/components/schemas/Pet' } } },
    },
  },
};

describe("somebody else's OpenAPI document", () => {
  it('gives its webhooks, with what their schemas refer to', () => {
    const document = {
      openapi: '3.1.0',
      info: { title: 'Pets', version: '7' },
      webhooks: {
        'pet.new': {
          post: {
            summary: 'A pet\nis there',
            tags: ['Pets'],
            requestBody: { $ref: '#/components/requestBodies/Pet' },
          },
        },
        'pet.gone@2': { $ref: '#/components/pathItems/Gone' },
      },
      components: {
        ...components,
        requestBodies: {
          Pet: {
            content: {
              'text/plain': { schema: { type: 'string' } },
              'application/vnd.pets+json': {
                schema: { $ref: '#/components/schemas/Pet' },
                example: { owner: {} },
                examples: { second: { $ref: '#/components/examples/Second' } },
              },
            },
          },
        },
        examples: { Second: { value: { owner: { pets: [] } } } },
        pathItems: { Gone: { put: { description: 'No more' } } },
      },
    };
    const { found, refused } = readAll(document);
    expect(refused).toEqual([]);
    expect(found.map((each) => told(document, each))).toEqual([
      {
        type: 'pet.new',
        version: '1',
        about: { pointer: '/webhooks/pet.new', description: 'A pet is there', group: 'Pets' },
        schema: {
          $ref: '#/$defs/Pet',
          $defs: {
            Pet: { type: 'object', properties: { owner: { $ref: '#/$defs/Owner' } } },
            Owner: {
              type: 'object',
              properties: { pets: { type: 'array', items: { $ref: '#/$defs/Pet' } } },
            },
          },
        },
        examples: [{ owner: {} }, { owner: { pets: [] } }],
      },
      {
        type: 'pet.gone',
        version: '2',
        about: { pointer: '/webhooks/pet.gone@2', description: 'No more' },
        schema: null,
        examples: [],
      },
    ]);
  });

  it('is refused where it is of no use, and read for the rest', () => {
    const { found, refused } = readAll({
      openapi: '3.1.0',
      webhooks: {
        'a pet': { post: {} },
        nothing: {},
        text: 'x',
        away: { $ref: 'https://example.com/x.json' },
        round: { $ref: '#/webhooks/round' },
        extended: { post: { 'x-posthorn': { type: 'a', version: '1', priority: 'urgent' } } },
        good: { post: {} },
      },
    });
    expect(found.map(({ type }) => type)).toEqual(['good']);
    expect(refused.map(({ pointer }) => pointer)).toEqual([
      '/webhooks/a pet',
      '/webhooks/nothing',
      '/webhooks/text',
      '/webhooks/away/$ref',
      '/webhooks/round/$ref',
      '/webhooks/extended/post/x-posthorn/priority',
    ]);
  });

  it('is none where it has no webhooks', () => {
    expect(() => readAll({ openapi: '3.0.3', webhooks: {} })).toThrow(DocumentRefusedError);
    expect(() => readAll({ openapi: '3.1.0', paths: {} })).toThrow(DocumentRefusedError);
  });
});

describe("somebody else's AsyncAPI document", () => {
  const message = {
    name: 'pet.new',
    title: 'New',
    tags: [{ name: 'Pets' }],
    payload: { $ref: '#/components/schemas/Pet' },
  };

  it('of version 2 gives the messages of its channels', () => {
    const document = {
      asyncapi: '2.6.0',
      channels: {
        'pets/all': {
          subscribe: { message: { oneOf: [{ $ref: '#/components/messages/New' }, { payload: true }] } },
        },
        'pet.fed': { publish: { message: { payload: { type: 'number' }, examples: [{ payload: 3 }, {}] } } },
      },
      components: { ...components, messages: { New: message } },
    };
    const { found, refused } = readAll(document);
    expect(found.map((each) => told(document, each))).toMatchObject([
      {
        type: 'pet.new',
        version: '1',
        about: { description: 'New', group: 'Pets' },
        schema: { $ref: '#/$defs/Pet' },
      },
      { type: 'pet.fed', schema: { type: 'number' }, examples: [3] },
    ]);
    expect(refused.map(({ pointer }) => pointer)).toEqual(['/channels/pets~1all/subscribe/message/oneOf/1']);
  });

  it('of version 3 gives the messages of its channels', () => {
    const document = {
      asyncapi: '3.0.0',
      channels: {
        pets: {
          address: 'pets/all',
          messages: {
            'pet.fed': { payload: { type: 'number' } },
            new: { $ref: '#/components/messages/New' },
          },
        },
        avro: {
          address: 'a',
          messages: {
            'pet.avro': {
              payload: { schemaFormat: 'application/vnd.apache.avro+json;version=1.9.0', schema: {} },
            },
          },
        },
        empty: {},
      },
      components: { ...components, messages: { New: message } },
    };
    const { found, refused } = readAll(document);
    expect(found.map(({ type }) => type)).toEqual(['pet.fed', 'pet.new']);
    expect(refused.map(({ pointer }) => pointer)).toEqual([
      '/channels/avro/messages/pet.avro/payload',
      '/channels/empty',
    ]);
  });

  it('is none of another version, or without channels', () => {
    expect(() => readAll({ asyncapi: '1.0.0', channels: {} })).toThrow(DocumentRefusedError);
    expect(() => readAll({ asyncapi: '3.0.0' })).toThrow(DocumentRefusedError);
  });
});

describe('a schema that is taken out of its document', () => {
  const bundle = (document: unknown, value: unknown) => bundleSchema(document, { pointer: '/here', value });

  it('keeps names apart that are alike, and data that looks like a schema', () => {
    const document = { a: { x: { const: 1 } }, b: { x: { const: 2 } }, 'c d': { '50%': true } };
    const value = {
      allOf: [{ $ref: '#/a/x' }, { $ref: '#/b/x' }, { $ref: '#/a/x' }, { $ref: '#/c%20d/50%25' }],
      $defs: { x: false },
      const: { $ref: '#/a/x' },
    };
    expect(bundle(document, value)).toEqual({
      allOf: [
        { $ref: '#/$defs/x_2' },
        { $ref: '#/$defs/x_3' },
        { $ref: '#/$defs/x_2' },
        { $ref: '#/$defs/50_' },
      ],
      $defs: { x: false, x_2: { const: 1 }, x_3: { const: 2 }, '50_': true },
      const: { $ref: '#/a/x' },
    });
  });

  it('is refused where it refers to what is not there, or becomes too large', () => {
    expect(() => bundle({}, { $ref: '#/nowhere' })).toThrow(/`#\/nowhere`/);
    const wide = { enum: Array.from({ length: 6_000 }, (_, index) => index) };
    const document = { a: wide, b: wide };
    expect(() => bundle(document, { allOf: [{ $ref: '#/a' }, { $ref: '#/b' }] })).toThrow(/so large/);
    let deep: unknown = true;
    for (let level = 0; level < 100_000; level += 1) deep = { not: deep };
    expect(() => bundle({}, { not: deep })).toThrow(/so large/);
  });
});
