import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  type ApiDocument,
  bodyOf,
  type Ids,
  type JsonSchema,
  oneOfEach,
  type Operation,
  operationsOf,
  OTHER_BODIES,
  pathOf,
  readDocument,
  resolve,
} from '../support/api-walk.js';
import { System } from '../support/system.js';

/** JSON text of what should not be there. */
const HOSTILE = [
  'null',
  'true',
  '0',
  '-1',
  '1.5',
  '1e400',
  '-1e400',
  '9007199254740993',
  '1'.repeat(5_000),
  '""',
  '" "',
  '"\\u0000"',
  '"a\\u0000b"',
  '"\\ud800"',
  '"\\udfff\\ud800"',
  '"\\u202e\\ufeff"',
  '"\\r\\nX-Evil: 1"',
  '"\\u001b[31m"',
  `"${'a'.repeat(100_000)}"`,
  `"${'😀'.repeat(5_000)}"`,
  '"../../../../etc/passwd"',
  '"\'; DROP TABLE accounts; --"',
  '"$1"',
  '"%00%ff"',
  '"${7*7}{{7*7}}"',
  '"<script>alert(1)</script>"',
  '"__proto__"',
  '"constructor"',
  '"2026-13-45T99:99:99Z"',
  '"0000-00-00T00:00:00Z"',
  '"-271821-04-20T00:00:00Z"',
  '"default"',
  '"phk_x"',
  '"whsec_"',
  '"whsk_AAAA"',
  '"acc_00000000000000000000000000"',
  '"http://127.0.0.1:99999/"',
  '"http://[::"',
  '"https://xn--/"',
  '[]',
  '[null]',
  '["\\u0000"]',
  '[[[[[[]]]]]]',
  `[${Array.from({ length: 20_000 }, () => '"a.b"').join()}]`,
  `[${'1,'.repeat(20_000)}1]`,
  '{}',
  '{"":""}',
  '{"\\u0000":"\\u0000"}',
  '{"__proto__":{"polluted":true}}',
  '{"__proto__":"x","constructor":"y"}',
  '{"length":-1}',
  '{"then":"x"}',
  '{"toJSON":"x","toString":"y","valueOf":"z"}',
  `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
  `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`,
];

const HOSTILE_QUERY = [
  '',
  '%00',
  '%ff',
  '%',
  '%ed%a0%80',
  '-1',
  '1e400',
  'null',
  '[]',
  'a'.repeat(5_000),
  "'%20OR%201=1",
  '%F0%9F%98%80',
  '2026-13-45T99:99:99Z',
  '9999-12-31T23:59:59-23:59',
  '0000-01-01T00:00:00Z',
];

/** What no answer may show: a stack, a file of ours, a statement, a driver's error. */
const LEAKS =
  /\n\s+at |node_modules|\.[jt]s:\d|\b(SELECT|INSERT|UPDATE|DELETE) .*\b(FROM|INTO|SET)\b|QueryFailed|syntax error at|phk_[A-Za-z0-9_-]{40}/;

describe('hostile input', () => {
  let system: System;
  let document: ApiDocument;
  let operations: Operation[];
  let ids: Ids;

  beforeAll(async () => {
    system = await System.start();
    document = await readDocument(system);
    operations = operationsOf(document);
    ({ ids } = await oneOfEach(system));
  });
  afterAll(() => system.stop());

  /** Sends them all, a few at a time. @returns how many, and what was wrong with the answers */
  const sendAll = async (
    requests: {
      method: string;
      path: string;
      body?: string;
      type?: string;
      headers?: Record<string, string>;
      label: string;
    }[],
  ) => {
    const wrong: string[] = [];
    const queue = requests.values();
    const work = async () => {
      for (const { method, path, body, type: sent = 'application/json', headers, label } of queue) {
        const response = await fetch(`${system.url}${path}`, {
          method,
          headers: {
            authorization: `Bearer ${system.rootKey}`,
            ...(body === undefined ? {} : { 'content-type': sent }),
            ...headers,
          },
          ...(body === undefined ? {} : { body }),
        });
        const text = await response.text();
        const type = response.headers.get('content-type') ?? '';
        const told = (why: string) =>
          wrong.push(`${label}: ${response.status} ${why}: ${text.slice(0, 200)}`);
        if (response.status >= 500) told('blames us');
        if (response.status >= 400 && !type.startsWith('application/problem+json')) told(`is ${type}`);
        // What a caller has just made may be shown to it; a refusal shows nothing.
        if (response.status >= 400 && LEAKS.test(text)) told('leaks');
      }
    };
    await Promise.all(Array.from({ length: 8 }, work));
    return { count: requests.length, wrong };
  };

  /** A good body with one field of it replaced, as text, for each field at each place an object has. */
  const spoiled = (
    schema: JsonSchema,
    good: Record<string, unknown>,
    value: string,
  ): { field: string; body: string }[] =>
    [...Object.keys(schema.properties ?? {}), 'unknown', '__proto__'].flatMap((field) => {
      const others = Object.entries(good).filter(([name]) => name !== field);
      const around = (text: string) =>
        `{${[...others.map(([name, each]) => `"${name}":${JSON.stringify(each)}`), `"${field}":${text}`].join()}}`;
      const items = schema.properties?.[field]?.items;
      const [first] = Array.isArray(good[field]) ? (good[field] as unknown[]) : [];
      const inner =
        items && typeof first === 'object' && first !== null
          ? spoiled(resolve(document, items), first as Record<string, unknown>, value)
          : [];
      return [
        { field, body: around(value) },
        ...inner.map((item) => ({ field: `${field}/${item.field}`, body: around(`[${item.body}]`) })),
      ];
    });

  it('in any field of any body is answered, and never with a fault of ours', async () => {
    const requests = operations.flatMap((operation) => {
      const { bodySchema, method, template, operationId } = operation;
      if (bodySchema === null) return [];
      const good = bodyOf(operation) ?? {};
      return HOSTILE.flatMap((value) => [
        {
          method,
          path: pathOf(template, ids),
          body: value,
          label: `${operationId} with ${value.slice(0, 40)}`,
        },
        ...spoiled(bodySchema, good, value).map(({ field, body }) => ({
          method,
          path: pathOf(template, ids),
          body,
          label: `${operationId} ${field}=${value.slice(0, 40)}`,
        })),
      ]);
    });
    const { count, wrong } = await sendAll(requests);
    expect(wrong).toEqual([]);
    expect(count).toBeGreaterThan(2_000);
  }, 180_000);

  it('in any attribute of a CloudEvent, in every mode, is answered, and never with a fault of ours', async () => {
    const publish = operations.find(({ operationId }) => operationId === 'Events.publish');
    const [structured = '', batch = ''] = Object.keys(publish?.requestBody?.content ?? {}).slice(1);
    const good = OTHER_BODIES[structured] ?? {};
    const schema = resolve(document, publish?.requestBody?.content[structured]?.schema ?? {});
    expect([batch, Object.keys(schema.properties ?? {}).length]).toEqual([
      'application/cloudevents-batch+json',
      13,
    ]);
    const request = { method: 'POST', path: pathOf('/v1/accounts/{account}/events', ids) };
    const spoiledBodies = (value: string) => [
      { field: '', body: value },
      ...['subject', 'dataschema', 'data_base64', 'datacontenttype', 'a'].map((field) => ({
        field,
        body: `{"${field}":${value},${JSON.stringify(good).slice(1)}`,
      })),
      ...spoiled(schema, good, value),
    ];
    const requests = HOSTILE.flatMap((value) =>
      spoiledBodies(value).flatMap(({ field, body }) => [
        { ...request, type: structured, body, label: `structured ${field}=${value.slice(0, 40)}` },
        { ...request, type: batch, body: `[${body}]`, label: `batch ${field}=${value.slice(0, 40)}` },
      ]),
    );
    const attributes = Object.fromEntries(
      Object.entries(good).map(([name, value]) => [`ce-${name}`, String(value)]),
    );
    const texts = [...HOSTILE_QUERY, '%u0000', '"', '"\\"', 'é', ','.repeat(4_000), '\\'.repeat(4_000)];
    const binary = [
      ...Object.keys(attributes),
      'ce-time',
      'ce-tags',
      'ce-version',
      'ce-priority',
      'ce-x',
      'ce-',
    ];
    const headed = texts.flatMap((value) =>
      binary.map((name) => ({
        ...request,
        body: '{}',
        headers: { ...attributes, [name]: value },
        label: `${name}: ${value.slice(0, 40)}`,
      })),
    );
    const { count, wrong } = await sendAll([...requests, ...headed]);
    expect(wrong).toEqual([]);
    expect(count).toBeGreaterThan(1_500);
  }, 180_000);

  it('in any parameter of any query is answered, and never with a fault of ours', async () => {
    const requests = operations.flatMap(({ method, template, operationId, parameters = [] }) =>
      parameters
        .filter((parameter) => parameter.in === 'query')
        .flatMap(({ name }) =>
          HOSTILE_QUERY.flatMap((value) =>
            [
              `${name}=${value}`,
              `${name}[]=${value}`,
              `${name}=${value}&${name}=${value}`,
              `${name}[a]=${value}`,
            ].map((query) => ({
              method,
              path: `${pathOf(template, ids)}?${query}`,
              label: `${operationId} ?${query.slice(0, 60)}`,
            })),
          ),
        ),
    );
    const { count, wrong } = await sendAll(requests);
    expect(wrong).toEqual([]);
    expect(count).toBeGreaterThan(500);
  });

  it('leaves everything standing', async () => {
    expect(await system.ok('GET', `/accounts/${ids.account}`)).toMatchObject({ id: ids.account });
    expect(
      (await system.ok<{ data: unknown[] }>('GET', `/accounts/${ids.account}/endpoints?limit=250`)).data
        .length,
    ).toBeGreaterThan(0);
    expect((await fetch(`${system.url}/readyz`)).status).toBe(200);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});
