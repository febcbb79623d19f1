import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, test } from '@jest/globals';
import pino from 'pino';
import { Database } from '../../src/database/database.js';
import { LookupFailures } from '../../src/lookups/lookup-failures.js';
import type { LookupShown } from '../../src/lookups/lookups.schema.js';
import { everywhere } from '../support/everywhere.js';
import { type Account, System } from '../support/system.js';

const URL_OF = 'http://127.0.0.1:4433/customers/{{ event.data.customer }}';

describe('lookups', () => {
  let system: System;
  let account: Account;
  let key: string;

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    const made = await system.ok<{ secret: string }>('POST', `${account.path}/keys`, { name: 'app' });
    key = made.secret;
  });
  afterEach(async () => {
    await system.sql('UPDATE endpoints SET lookups = NULL');
    await system.sql('DELETE FROM lookups');
  });

  const create = (body: Record<string, unknown>) => system.call<LookupShown>('POST', '/lookups', body);
  const crm = (more: Record<string, unknown> = {}) =>
    system.ok<LookupShown>('POST', '/lookups', { name: 'crm', url: URL_OF, ...more });
  const endpoint = (body: Record<string, unknown> = {}, headers = {}) =>
    system.call<{ id: string; lookups: string[]; errors: unknown }>(
      'POST',
      `${account.path}/endpoints`,
      { url: 'http://127.0.0.1:4433/', paused: true, ...body },
      headers,
    );
  const asAccount = () => ({ authorization: `Bearer ${key}` });

  it('are registered with defaults, changed, listed by name and deleted', async () => {
    const made = await create({ name: 'crm', url: URL_OF });
    expect(made).toMatchObject({
      status: 201,
      body: {
        name: 'crm',
        description: null,
        url: URL_OF,
        auth: { type: 'none' },
        timeoutMs: 2_000,
        cacheTtlSeconds: 60,
        required: true,
        selfService: false,
        lastFailure: null,
      },
    });
    await create({ name: 'a_first', url: URL_OF });
    const page = await system.ok<{ data: LookupShown[]; nextCursor: string }>('GET', '/lookups?limit=1');
    expect(page.data.map(({ name }) => name)).toEqual(['a_first']);
    const rest = await system.ok<{ data: LookupShown[] }>('GET', `/lookups?cursor=${page.nextCursor}`);
    expect(rest.data.map(({ name }) => name)).toEqual(['crm']);
    const changed = await system.ok<LookupShown>('PATCH', '/lookups/crm', {
      required: false,
      cacheTtlSeconds: 0,
      description: 'who pays',
    });
    expect(changed).toMatchObject({
      url: URL_OF,
      required: false,
      cacheTtlSeconds: 0,
      description: 'who pays',
    });
    expect(await system.ok('GET', '/lookups/crm')).toEqual(changed);
    expect((await system.call('DELETE', '/lookups/crm')).status).toBe(204);
    expect((await system.call('GET', '/lookups/crm')).status).toBe(404);
  });

  test.each<[Record<string, unknown>, string]>([
    [{ name: 'Crm' }, '/name'],
    [{ name: '1crm' }, '/name'],
    [{ name: 'a'.repeat(41) }, '/name'],
    [{ url: 'https://{{ event.data.host }}/' }, '/url'],
    [{ url: 'https://crm.example/{% if true %}{% endif %}' }, '/url'],
    [{ url: 'https://crm.example/{{ event.data.id | nope }}' }, '/url'],
    [{ timeoutMs: 5_001 }, '/timeoutMs'],
    [{ cacheTtlSeconds: 86_401 }, '/cacheTtlSeconds'],
    [{ auth: { type: 'mtls', certificate: 'a', privateKey: 'b' } }, '/auth/type'],
    [{ auth: { type: 'header', name: 'host', value: 'evil' } }, '/auth/name'],
    [{ auth: { type: 'bearer', token: '***' } }, '/auth/token'],
    [{ unknown: 1 }, '/unknown'],
  ])('are refused with %j', async (more, pointer) => {
    const { status, body } = await create({ name: 'crm', url: URL_OF, ...more });
    expect([status, body]).toEqual([
      422,
      expect.objectContaining({ code: 'validation_failed', errors: [expect.objectContaining({ pointer })] }),
    ]);
  });

  test.each([
    'http://10.0.0.1/{{ event.id }}',
    'https://169.254.169.254/{{ event.id }}',
    'https://metadata.google.internal/',
    'https://user:pw@crm.example/',
    'https://127.0.0.1:25/',
  ])('are refused at %s, where requests may not go', async (url) => {
    expect(await create({ name: 'crm', url })).toMatchObject({
      status: 422,
      body: { code: 'lookup_url_refused', errors: [{ pointer: '/url' }] },
    });
    await crm();
    expect(await system.call('PATCH', '/lookups/crm', { url })).toMatchObject({
      body: { code: 'lookup_url_refused' },
    });
  });

  it('are not made twice, and not without number', async () => {
    await crm();
    expect(await create({ name: 'crm', url: URL_OF })).toMatchObject({
      status: 409,
      body: { code: 'lookup_exists' },
    });
    await system.sql(
      `INSERT INTO lookups (name, version, url, timeout_ms, cache_ttl_seconds, required, self_service)
        SELECT 'l' || n, gen_random_uuid(), 'https://crm.example/', 2000, 60, true, false FROM generate_series(1, 99) n`,
    );
    expect(await create({ name: 'more', url: URL_OF })).toMatchObject({
      status: 409,
      body: { code: 'lookup_limit_reached' },
    });
  });

  it('show their credentials to nobody, keep them encrypted, and take them back masked', async () => {
    const secret = 'the-password-of-the-crm';
    const made = await crm({ auth: { type: 'basic', username: 'posthorn', password: secret } });
    expect(made.auth).toEqual({ type: 'basic', username: 'posthorn', password: '***' });
    const [stored] = await system.sql<{ sealed_auth: Buffer }>('SELECT sealed_auth FROM lookups');
    expect(stored?.sealed_auth.includes(secret)).toBe(false);
    const renamed = { type: 'basic', username: 'other', password: '***' };
    await system.ok('PATCH', '/lookups/crm', { auth: renamed, url: `${URL_OF}?key=in-the-url` });
    const { text } = await system.call('GET', '/audit-log');
    expect(text).toContain('"lookup.update"');
    expect(text).not.toMatch(new RegExp(`${secret}|in-the-url`));
    const { data } = await system.ok<{ data: unknown[] }>('GET', '/audit-log?action=lookup.update');
    expect(data[0]).toMatchObject({
      resourceId: 'crm',
      changes: { auth: { from: { username: 'posthorn', password: '***' }, to: renamed } },
    });
    expect(await system.ok('PATCH', '/lookups/crm', { auth: null })).toMatchObject({
      auth: { type: 'none' },
    });
  });

  it('are the operator’s: no account reads or writes them', async () => {
    await crm();
    for (const [method, path] of [
      ['GET', '/lookups'],
      ['GET', '/lookups/crm'],
      ['DELETE', '/lookups/crm'],
    ] as const)
      expect((await system.call(method, path, undefined, asAccount())).status).toBe(403);
  });

  it('are asked for by endpoints, in their order, up to five, and none twice', async () => {
    const names = ['b', 'a', 'c', 'd', 'e', 'f'];
    for (const name of names) await create({ name, url: URL_OF });
    const made = await endpoint({ lookups: ['b', 'a'] });
    expect(made.body.lookups).toEqual(['b', 'a']);
    const path = `${account.path}/endpoints/${made.body.id}`;
    expect(await system.ok('PATCH', path, { lookups: names.slice(0, 5) })).toMatchObject({
      lookups: names.slice(0, 5),
    });
    for (const lookups of [names, ['a', 'a'], ['nope'], ['No']])
      expect((await system.call('PATCH', path, { lookups })).status).toBe(422);
    expect(await system.ok('PATCH', path, { lookups: [] })).toMatchObject({ lookups: [] });
    expect((await endpoint()).body.lookups).toEqual([]);
    const { data } = await system.ok<{ data: unknown[] }>(
      'GET',
      `${account.path}/audit-log?action=endpoint.update`,
    );
    expect(data[0]).toMatchObject({ changes: { lookups: { from: names.slice(0, 5), to: [] } } });
  });

  it('are added by accounts only where they may, and those that are not look like none', async () => {
    await crm();
    await create({ name: 'open', url: URL_OF, selfService: true });
    expect((await endpoint({ lookups: ['open'] }, asAccount())).body.lookups).toEqual(['open']);
    const [closed, unknown] = await Promise.all([
      endpoint({ lookups: ['crm'] }, asAccount()),
      endpoint({ lookups: ['nope'] }, asAccount()),
    ]);
    expect([closed.status, closed.body.errors]).toEqual([422, unknown.body.errors]);
    // What an operator has added may stay.
    const { body } = await endpoint({ lookups: ['crm'] });
    const path = `${account.path}/endpoints/${body.id}`;
    const both = await system.call('PATCH', path, { lookups: ['open', 'crm'] }, asAccount());
    expect([both.status, both.body.lookups]).toEqual([200, ['open', 'crm']]);
    await system.ok('PATCH', path, { lookups: [] });
    expect((await system.call('PATCH', path, { lookups: ['crm'] }, asAccount())).status).toBe(422);
  });

  it('are as many as the plan allows', async () => {
    await crm();
    await create({ name: 'erp', url: URL_OF });
    await system.ok('POST', '/plans', { name: 'one_lookup', limits: { lookups: 1 } });
    await system.ok('PATCH', account.path, { plan: 'one_lookup' });
    await everywhere();
    expect((await endpoint({ lookups: ['crm'] })).status).toBe(201);
    expect(await endpoint({ lookups: ['crm', 'erp'] })).toMatchObject({
      status: 422,
      body: { code: 'plan_limit_exceeded', limit: 'lookups' },
    });
  });

  it('stay while an endpoint asks for them', async () => {
    await crm();
    const { body } = await endpoint({ lookups: ['crm'] });
    const refused = await system.call('DELETE', '/lookups/crm');
    expect(refused).toMatchObject({ status: 409, body: { code: 'lookup_in_use' } });
    expect(refused.body.detail).toContain(body.id);
    await system.ok('DELETE', `${account.path}/endpoints/${body.id}`);
    expect((await system.call('DELETE', '/lookups/crm')).status).toBe(204);
  });

  it('that fail are told to the operator once an hour, with the latest failure to be read', async () => {
    await crm();
    const database = new Database(system.databaseUrl, 2);
    await database.open();
    const lines: { lookup: string; failure: string }[] = [];
    const logger = pino(
      {},
      { write: (line: string) => lines.push(JSON.parse(line) as (typeof lines)[number]) },
    );
    const fail = async (detail: string) => {
      const failures = new LookupFailures(database, logger);
      failures.note('crm', detail);
      failures.note('gone', detail);
      await failures.close();
    };
    await fail('the answer is 500');
    await fail('the answer is 503');
    expect(lines).toEqual([expect.objectContaining({ lookup: 'crm', failure: 'the answer is 500' })]);
    expect(await system.ok('GET', '/lookups/crm')).toMatchObject({
      lastFailure: { detail: 'the answer is 503' },
    });
    await system.sql("UPDATE lookups SET warned_at = now() - interval '1 hour'");
    await fail('the answer is 504');
    expect(lines.map(({ failure }) => failure)).toEqual(['the answer is 500', 'the answer is 504']);
    await system.ok('PATCH', '/lookups/crm', { timeoutMs: 1_000 });
    expect(await system.ok('GET', '/lookups/crm')).toMatchObject({ lastFailure: null });
    await database.close();
  });
});
