import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { SchemaValidators } from '../../src/event-types/schema-validators.js';
import type { Published } from '../../src/events/events.schema.js';
import { itInOneProcess } from '../support/one-process.js';
import { totals } from '../support/metrics.js';
import { type Account, type Answer, System } from '../support/system.js';
import { until } from '../support/until.js';

type Body = Published & { code: string; errors: { pointer: string; detail: string }[] };

const SCHEMA = {
  type: 'object',
  required: ['amount'],
  properties: { amount: { type: 'integer' }, tags: { items: { type: 'string' } } },
  additionalProperties: false,
};

describe('events that are compared with the catalogue', () => {
  let strict: System;
  let warn: System;
  let account: Account;
  let serial = 0;
  let type: string;

  /** By the process that is strict, or by another one of the same database. */
  const publish = (body: Record<string, unknown>, by = strict): Promise<Answer<Body>> =>
    by.call<Body>('POST', `${account.path}/events`, { type, data: { amount: 1 }, ...body });
  const pointersOf = ({ body }: Answer<Body>) => body.errors.map(({ pointer }) => pointer);
  const metric = () => totals(warn, 'posthorn_events_not_in_catalogue_total');

  beforeAll(async () => {
    strict = await System.start({ env: { POSTHORN_EVENT_VALIDATION: 'strict' } });
    warn = await System.start({ like: strict, env: { POSTHORN_EVENT_VALIDATION: 'warn' } });
    account = await strict.account();
  });
  afterAll(async () => {
    await warn.stop();
    await strict.stop();
  });
  afterEach(() => void jest.restoreAllMocks());
  beforeEach(async () => {
    serial += 1;
    type = `checked.type${serial}`;
    await strict.ok('PUT', `/event-types/${type}`, {
      // Of its own, so that nobody has compiled it yet.
      versions: [{ version: '1', schema: { ...SCHEMA, title: type } }, { version: '2' }],
    });
  });

  it('are taken where they are as it says', async () => {
    expect((await publish({})).status).toBe(202);
    expect((await publish({ version: '2', data: [null, { anything: 1 }] })).body).not.toHaveProperty(
      'warnings',
    );
  });

  it('are refused with what is wrong, and nothing of them is published', async () => {
    const before = await strict.sql('SELECT id FROM events');
    const cases: [Record<string, unknown>, string[]][] = [
      [{ type: 'never.registered' }, ['/type']],
      [{ version: '3' }, ['/version']],
      [{ data: {} }, ['/data']],
      [{ data: { amount: 'x', more: 1 } }, ['/data/more', '/data/amount']],
      [{ data: { amount: 1, tags: ['a', 5] } }, ['/data/tags/1']],
    ];
    for (const [body, pointers] of cases) {
      const answer = await publish(body);
      expect([answer.status, answer.body.code]).toEqual([422, 'event_not_in_catalogue']);
      expect(pointersOf(answer).sort()).toEqual(pointers.sort());
    }
    expect(await strict.sql('SELECT id FROM events')).toHaveLength(before.length);
  });

  it('are compared with a schema that has just been changed elsewhere', async () => {
    for (const by of [strict, warn]) await publish({ version: '2' }, by);
    // As another process changes it, of which these learn within a second.
    const changed = JSON.stringify({ type: 'object', required: ['other'] });
    const digest = createHash('sha256').update(changed).digest('hex');
    await strict.sql(
      'UPDATE event_type_versions SET schema = $2, schema_digest = $3 WHERE type = $1 AND schema IS NOT NULL',
      [type, changed, digest],
    );
    expect((await publish({}, warn)).status).toBe(202);
    expect((await publish({})).body.code).toBe('event_not_in_catalogue');
  });

  // Of what each process has compiled.
  itInOneProcess(
    'are taken with a warning where they cannot be compared, and are not where they must be',
    async () => {
      for (const system of [warn, strict])
        jest.spyOn(system.get(SchemaValidators), 'load').mockResolvedValue(null);
      const taken = await publish({}, warn);
      expect([taken.status, taken.body]).toMatchObject([202, { warnings: [{ pointer: '/data' }] }]);
      const refused = await publish({});
      expect([refused.status, refused.body.code]).toEqual([503, 'unavailable']);
    },
  );

  it('are refused as a batch, with the index of each', async () => {
    const good = { type, data: { amount: 1 } };
    const events = [good, { ...good, data: 5 }, good, { ...good, type: 'never.registered' }];
    const answer = await strict.call<Body>('POST', `${account.path}/events/batch`, { events });
    expect([answer.status, pointersOf(answer)]).toEqual([422, ['/events/1/data', '/events/3/type']]);
    const taken = await strict.call('POST', `${account.path}/events/batch`, {
      events: Array.from({ length: 50 }, () => good),
    });
    expect(taken.status).toBe(202);
  });

  it('are taken with a warning where that is wanted, and counted', async () => {
    const before = await metric();
    const { status, body } = await publish({ data: { amount: 'x' } }, warn);
    expect([status, body.warnings]).toEqual([202, [{ pointer: '/data/amount', detail: 'must be integer' }]]);
    expect((await publish({}, warn)).body).not.toHaveProperty('warnings');
    const batch = await warn.ok<{ data: Published[] }>('POST', `${account.path}/events/batch`, {
      events: [
        { type: 'never.registered', data: 1 },
        { type, data: { amount: 1 } },
      ],
    });
    expect(batch.data.map(({ warnings }) => warnings?.map(({ pointer }) => pointer))).toEqual([
      ['/events/0/type'],
      undefined,
    ]);
    expect(await metric()).toBe(before + 2);
  });

  it('are compared with what another process has just registered', async () => {
    const other = `${type}.other`;
    await strict.ok('PUT', `/event-types/${other}`, { versions: [{ version: '1', schema: SCHEMA }] });
    // A type that nobody knew yet counts at once, and a change of one within a second.
    expect((await publish({ type: other, data: {} }, warn)).body.warnings).toHaveLength(1);
    await strict.ok('PUT', `/event-types/${other}`, {
      versions: [{ version: '1', schema: { type: 'null' } }],
    });
    await until(
      () => publish({ type: other, data: null }, warn),
      ({ body }) => body.warnings === undefined,
    );
    await until(
      () => publish({ type: other, data: null }),
      ({ status }) => status === 202,
    );
  });

  it('hold nobody up, however hostile they and their schema are', async () => {
    // Each level of the data doubles the work: what would take for ever is stopped.
    const twice = { properties: { next: { $ref: '#/$defs/node' } } };
    const schema = {
      $defs: { node: { allOf: [twice, { anyOf: [false, twice] }] } },
      $ref: '#/$defs/node',
    };
    await strict.ok('POST', `/event-types/${type}/versions`, { version: '3', schema });
    await strict.ok('POST', `/event-types/${type}/versions`, {
      version: '4',
      schema: { pattern: '^(a+)+$' },
    });
    const nested = (levels: number): unknown => (levels === 0 ? {} : { next: nested(levels - 1) });
    expect((await publish({ version: '3', data: nested(5) })).status).toBe(202);
    const [slow, quick] = await Promise.all([
      publish({ version: '3', data: nested(60) }),
      publish({ version: '4', data: `${'a'.repeat(100_000)}!` }),
    ]);
    for (const answer of [slow, quick])
      expect([answer.status, answer.body.code, pointersOf(answer)]).toEqual([
        422,
        'event_not_in_catalogue',
        ['/data'],
      ]);
    expect(slow.body.errors[0]?.detail).toMatch(/could not be checked/);
    expect((await publish({})).status).toBe(202);
  });

  it('may be anything where nobody asks', async () => {
    const off = await System.start({ like: strict, env: { POSTHORN_EVENT_VALIDATION: 'off' } });
    const { status, body } = await publish({ data: { amount: 'x' } }, off);
    expect([status, 'warnings' in body]).toEqual([202, false]);
    await off.stop();
  });
});
