import { afterAll, beforeAll, beforeEach, describe, expect, it, test } from '@jest/globals';
import type { ConversionShown } from '../../src/conversions/conversions.schema.js';
import type { EventTypeShown } from '../../src/event-types/event-types.schema.js';
import { System } from '../support/system.js';

interface Refusal {
  code: string;
  errors: { pointer: string; detail: string }[];
}

const javascript = (code: string) => ({ kind: 'javascript', code });
const spec = (steps: object) => ({ kind: 'declarative', spec: steps });
const RENAMED = spec({ rename: [{ from: 'total', to: 'amount' }] });
const TESTS = [{ data: { total: 5 }, expected: { amount: 5 } }];
const INVOICE = { type: 'object', required: ['amount'], properties: { amount: { type: 'integer' } } };

describe('a conversion in the catalogue', () => {
  let system: System;
  let serial = 0;
  /** An event type that no other test knows. */
  let type: string;

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    type = `converted.type${(serial += 1)}`;
    await system.ok('PUT', `/event-types/${type}`, {
      versions: [{ version: '1', schema: INVOICE }, { version: '2' }, { version: '2026/β' }],
    });
  });

  const pathOf = (from: string, to: string) =>
    `/event-types/${type}/conversions/${encodeURIComponent(from)}/${encodeURIComponent(to)}`;
  const put = (transformation: unknown, tests: unknown = TESTS, path = pathOf('2', '1')) =>
    system.call<ConversionShown & Refusal>('PUT', path, { transformation, tests });
  const refusalOf = async (transformation: unknown, tests: unknown = TESTS) => {
    const { status, body } = await put(transformation, tests);
    return [status, body.code, ...body.errors.map(({ pointer, detail }) => `${pointer} ${detail}`)];
  };
  const audited = async () =>
    (
      await system.ok<{ data: { action: string; resourceId: string; changes: Record<string, unknown> }[] }>(
        'GET',
        '/audit-log?limit=5',
      )
    ).data;

  it('is taken with its tests, read, replaced and removed, each of which is audited', async () => {
    const made = await put(RENAMED);
    expect([made.status, made.body]).toEqual([
      200,
      {
        type,
        from: '2',
        to: '1',
        transformation: { kind: 'declarative', code: null, spec: RENAMED.spec },
        tests: TESTS,
        createdAt: expect.any(String),
        updatedAt: expect.any(String),
      },
    ]);
    expect(await system.ok('GET', pathOf('2', '1'))).toEqual(made.body);
    const code = 'const convert = ({ total }) => ({ amount: total })';
    const replaced = await put(javascript(code));
    expect(replaced.body).toMatchObject({
      transformation: { kind: 'javascript', code, spec: null },
      createdAt: made.body.createdAt,
    });
    await put(javascript(code));
    expect((await system.call('DELETE', pathOf('2', '1'))).status).toBe(204);
    for (const method of ['GET', 'DELETE'])
      expect((await system.call(method, pathOf('2', '1'))).status).toBe(404);
    const resourceId = `${type}/conversions/2/1`;
    const digest = expect.stringMatching(/^sha256:[0-9a-f]{64}$/);
    expect(await audited()).toMatchObject([
      { action: 'conversion.delete', resourceId, changes: { kind: { from: 'javascript', to: null } } },
      { action: 'conversion.update', resourceId, changes: {} },
      {
        action: 'conversion.update',
        resourceId,
        changes: {
          kind: { from: 'declarative', to: 'javascript' },
          transformation: { from: digest, to: digest },
        },
      },
      {
        action: 'conversion.update',
        resourceId,
        changes: { kind: { from: null }, tests: { from: null, to: digest } },
      },
      { action: 'event_type.create' },
    ]);
  });

  it('is told of by its event type, and goes with its versions', async () => {
    await put(RENAMED);
    await put(spec({}), [{ data: 1, expected: 1 }], pathOf('2026/β', '2'));
    const shown = () => system.ok<EventTypeShown>('GET', `/event-types/${type}`);
    expect((await shown()).conversions).toEqual([
      { from: '2', to: '1' },
      { from: '2026/β', to: '2' },
    ]);
    expect(await system.ok('GET', pathOf('2026/β', '2'))).toMatchObject({ from: '2026/β', to: '2' });
    await system.ok('PUT', `/event-types/${type}`, { versions: [{ version: '2' }, { version: '2026/β' }] });
    expect((await shown()).conversions).toEqual([{ from: '2026/β', to: '2' }]);
    expect((await audited())[0]?.changes).toMatchObject({
      conversions: {
        from: [
          { from: '2', to: '1' },
          { from: '2026/β', to: '2' },
        ],
        to: [{ from: '2026/β', to: '2' }],
      },
    });
    expect((await system.call('DELETE', `/event-types/${type}`)).status).toBe(204);
    expect((await system.call('GET', pathOf('2026/β', '2'))).status).toBe(404);
  });

  it('stays when a document with the versions is imported', async () => {
    await put(RENAMED);
    const document = await system.ok('GET', '/event-types/export');
    await system.ok('POST', '/event-types/import', document);
    expect((await system.call('GET', pathOf('2', '1'))).status).toBe(200);
  });

  it('is refused where a test comes out otherwise, with what came out', async () => {
    const tests = [...TESTS, { data: { total: 7, more: [1] }, expected: { amount: 7 } }];
    expect(await refusalOf(RENAMED, tests)).toEqual([
      422,
      'validation_failed',
      '/tests/1/expected came out as {"more":[1],"amount":7}',
    ]);
    const fails = javascript('const convert = ({ total }) => ({ amount: total.value.of })');
    expect(await refusalOf(fails)).toEqual([
      422,
      'validation_failed',
      "/tests/0 failed: TypeError: cannot read property 'of' of undefined (line 1)",
    ]);
    expect((await system.call('GET', pathOf('2', '1'))).status).toBe(404);
  });

  it('is refused where what comes out is not as the schema of the version says', async () => {
    const text = [{ data: { total: '5' }, expected: { amount: '5' } }];
    expect(await refusalOf(RENAMED, text)).toEqual([
      422,
      'validation_failed',
      '/tests/0/expected/amount must be integer, says the schema of the version',
    ]);
  });

  test.each([
    ['headers', spec({ headers: { 'x-a': 'b' } }), TESTS, '/transformation/spec/headers'],
    ['a path', spec({ path: '/x' }), TESTS, '/transformation/spec/path'],
    ['no program', { kind: 'javascript' }, TESTS, '/transformation/code'],
    ['two programs', { ...RENAMED, code: 'x' }, TESTS, '/transformation/code'],
    ['no test', RENAMED, [], '/tests'],
    ['too many tests', RENAMED, Array.from({ length: 21 }, () => TESTS[0]), '/tests'],
    ['tests that are too large', RENAMED, [{ data: 'x'.repeat(262_144), expected: 1 }], '/tests'],
    ['a test without data', RENAMED, [{ expected: 1 }], '/tests/0/data'],
    ['code that cannot be read', javascript('const convert = ('), TESTS, '/tests/0'],
    ['code without the function', javascript('const transform = () => 1'), TESTS, '/tests/0'],
    ['code that never ends', javascript('const convert = () => { for (;;); }'), TESTS, '/tests/0'],
  ])('is refused with %s', async (_, transformation, tests, pointer) => {
    const { status, body } = await put(transformation, tests);
    expect([status, body.code, body.errors[0]?.pointer]).toEqual([422, 'validation_failed', pointer]);
  });

  it('has two versions that are registered, and are not the same', async () => {
    for (const path of [pathOf('2', '9'), pathOf('9', '1'), '/event-types/never.there/conversions/2/1'])
      expect((await put(RENAMED, TESTS, path)).status).toBe(404);
    for (const path of [pathOf('2', '\n'), pathOf('x'.repeat(33), '1')])
      for (const method of ['GET', 'PUT', 'DELETE'])
        expect(
          (
            await system.call(
              method,
              path,
              method === 'PUT' ? { transformation: RENAMED, tests: TESTS } : undefined,
            )
          ).status,
        ).toBe(404);
    expect((await put(RENAMED, TESTS, pathOf('2', '2'))).status).toBe(422);
  });

  it('is one of 200 of its type at most', async () => {
    const versions = Array.from({ length: 16 }, (_, index) => `v${index}`);
    await system.ok('PUT', `/event-types/${type}`, { versions: versions.map((version) => ({ version })) });
    await system.sql(
      `INSERT INTO event_type_conversions (type, from_version, to_version, id, kind, source, tests)
        SELECT $1, f, t, posthorn_uuid_v7(), 'declarative', '{}', '[]' FROM unnest($2::text[]) f, unnest($2::text[]) t
        WHERE f <> t AND (f, t) <> ('v0', 'v1') LIMIT 200`,
      [type, versions],
    );
    const refused = await put(RENAMED, TESTS, pathOf('v0', 'v1'));
    expect([refused.status, refused.body.errors[0]?.detail]).toEqual([
      422,
      'must be one of 200 conversions of an event type at most',
    ]);
  });

  it('is for operators alone', async () => {
    await put(RENAMED);
    const account = await system.account();
    const { secret } = await system.ok<{ secret: string }>('POST', `${account.path}/keys`, { name: 'all' });
    const headers = { authorization: `Bearer ${secret}` };
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const body = method === 'PUT' ? { transformation: RENAMED, tests: TESTS } : undefined;
      expect((await system.call(method, pathOf('2', '1'), body, headers)).status).toBe(403);
    }
  });
});
