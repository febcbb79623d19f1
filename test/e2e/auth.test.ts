import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { scopesOf } from '../../src/auth/scopes.js';
import { Database } from '../../src/database/database.js';
import { Access1700000000005 } from '../../src/database/migrations/1700000000005-access.js';
import { createDatabase } from '../support/servers.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

interface Key {
  id: string;
  secret: string;
}

describe('authentication', () => {
  let system: System;
  let account: Account;

  const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
  const keyWith = (body: Record<string, unknown>, path = '/keys') =>
    system.ok<Key>('POST', path, { name: 'test', ...body });
  const listAccounts = (headers: Record<string, string>) =>
    system.call('GET', '/accounts', undefined, { authorization: '', ...headers });

  beforeAll(async () => {
    system = await System.start();
    account = await system.account();
  });
  afterAll(() => system.stop());

  it('says with a 401 which scheme it wants, and whether what was sent is wrong', async () => {
    const challenge = async (headers: Record<string, string>) => {
      const { status, headers: answered } = await listAccounts(headers);
      return [status, answered.get('www-authenticate')];
    };
    expect(await challenge({})).toEqual([401, 'Bearer']);
    expect(await challenge({ authorization: 'Basic eDp5' })).toEqual([401, 'Bearer']);
    expect(await challenge(bearer('phk_wrong'))).toEqual([401, 'Bearer error="invalid_token"']);
  });

  it('says with a 403 which scope it wants', async () => {
    const { secret } = await keyWith({ scopes: ['events:read'] });
    const lacking = await listAccounts(bearer(secret));
    expect([lacking.status, lacking.headers.get('www-authenticate')]).toEqual([
      403,
      'Bearer error="insufficient_scope", scope="accounts:read"',
    ]);
    const bound = await keyWith({}, `${account.path}/keys`);
    const refused = await listAccounts(bearer(bound.secret));
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([
      403,
      'Bearer error="insufficient_scope"',
    ]);
  });

  it.each([
    ['another scheme', (key: string) => `Basic ${Buffer.from(`${key}:`).toString('base64')}`],
    ['no scheme', (key: string) => key],
    ['no key', () => 'Bearer'],
    ['two keys', (key: string) => `Bearer ${key} ${key}`],
    ['a list', (key: string) => `Bearer ${key}, Bearer ${key}`],
    ['a key without its prefix', (key: string) => `Bearer ${key.slice(4)}`],
    ['a prefix in upper case', (key: string) => `Bearer PHK_${key.slice(4)}`],
    ['a letter more', (key: string) => `Bearer ${key}A`],
    ['a letter less', (key: string) => `Bearer ${key.slice(0, -1)}`],
    ['the other case', (key: string) => `Bearer phk_${key.slice(4).toLowerCase()}`],
    ['a very long key', (key: string) => `Bearer ${key}${'A'.repeat(5000)}`],
    ['the hash of a key', (key: string) => `Bearer phk_${createHash('sha256').update(key).digest('hex')}`],
  ])('refuses %s in the header', async (_, header) => {
    expect((await listAccounts({ authorization: header(system.rootKey) })).status).toBe(401);
  });

  it('takes the scheme in any case', async () => {
    expect((await listAccounts({ authorization: `bearer ${system.rootKey}` })).status).toBe(200);
  });

  it('does not look for a key in the query, in a cookie or in the body', async () => {
    const places = [
      fetch(`${system.url}/v1/accounts?key=${system.rootKey}&access_token=${system.rootKey}`),
      fetch(`${system.url}/v1/accounts`, {
        headers: { cookie: `key=${system.rootKey}`, 'x-api-key': system.rootKey },
      }),
      fetch(`${system.url}/v1/accounts`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ name: 'x', key: system.rootKey }),
      }),
    ];
    for (const response of await Promise.all(places)) {
      expect(response.status).toBe(401);
      expect(await response.text()).not.toContain(system.rootKey);
    }
  });

  it('says of a key in the URL that it is to be revoked', async () => {
    const { body } = await system.call('GET', `/accounts?access_token=${system.rootKey}`, undefined, {
      authorization: '',
    });
    expect(body.detail).toContain('revoke');
  });

  it('has a scope each for retrying and for cancelling a delivery', async () => {
    await account.endpoint({ url: 'http://127.0.0.1:4433/', paused: true });
    const { id } = await account.deliveryOf(await account.publish());
    const path = `${account.path}/deliveries/${id}`;
    const { secret } = await keyWith({ scopes: ['deliveries:cancel'] }, `${account.path}/keys`);
    expect((await system.call('POST', `${path}/retry`, undefined, bearer(secret))).status).toBe(403);
    expect((await system.call('POST', `${path}/cancel`, undefined, bearer(secret))).status).toBe(202);
  });

  it('leaves a key of before, which could retry and cancel, both', async () => {
    const database = await createDatabase();
    try {
      const source = new Database(database.url, 2);
      await source.open();
      await source.migrate();
      const migration = new Access1700000000005();
      const runner = source.source.createQueryRunner();
      await migration.down(runner);
      await runner.query(
        `INSERT INTO api_keys (id, name, hash, hint, scopes) VALUES
          (gen_random_uuid(), 'both', '\\x01', 'phk_', '{events:read,deliveries:write}'),
          (gen_random_uuid(), 'neither', '\\x02', 'phk_', '{deliveries:read}')`,
      );
      await migration.up(runner);
      const keys = await source.query<{ scopes: string[] }>('SELECT scopes FROM api_keys ORDER BY name', []);
      expect(keys.map(({ scopes }) => scopesOf(scopes))).toEqual([
        ['events:read', 'deliveries:retry', 'deliveries:cancel'],
        ['deliveries:read'],
      ]);
      await migration.down(runner);
      await runner.release();
      await source.close();
    } finally {
      await database.drop();
    }
  });

  it('refuses a key from the moment it is revoked', async () => {
    const { id, secret } = await keyWith({});
    expect((await listAccounts(bearer(secret))).status).toBe(200);
    await system.ok('DELETE', `/keys/${id}`);
    expect((await listAccounts(bearer(secret))).status).toBe(401);
  });

  it('refuses a key from the moment it expires', async () => {
    const { secret } = await keyWith({ expiresAt: new Date(Date.now() + 4_000).toISOString() });
    expect((await listAccounts(bearer(secret))).status).toBe(200);
    await until(
      async () => (await listAccounts(bearer(secret))).status,
      (status) => status === 401,
      20_000,
    );
  });

  it("lets an account's key do what its scopes say in its own account", async () => {
    const { secret } = await keyWith({ scopes: ['events:write'] }, `${account.path}/keys`);
    const body = { type: 'invoice.paid', data: 1 };
    expect((await system.call('POST', `${account.path}/events`, body, bearer(secret))).status).toBe(202);
    const refused = await system.call('GET', `${account.path}/events`, undefined, bearer(secret));
    expect([refused.status, refused.body.code]).toEqual([403, 'forbidden']);
    expect(refused.body.detail).toContain('events:read');
  });
});
