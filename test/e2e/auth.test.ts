import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  callOperation,
  type Ids,
  oneOfEach,
  type Operation,
  operationsOf,
  pathOf,
  readDocument,
} from '../support/api-walk.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

interface Key {
  id: string;
  secret: string;
}

describe('authentication', () => {
  let system: System;
  let account: Account;
  let operations: Operation[];
  let ids: Ids;
  let theirs: { ids: Ids; key: string };

  const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
  const keyWith = (body: Record<string, unknown>, path = '/keys') =>
    system.ok<Key>('POST', path, { name: 'test', ...body });
  const listAccounts = (headers: Record<string, string>) =>
    system.call('GET', '/accounts', undefined, { authorization: '', ...headers });
  /** What every guarded operation answered, as `METHOD path: status code`. */
  const walk = async (
    pick: (operation: Operation) => boolean,
    headers: (operation: Operation) => Record<string, string>,
  ) => {
    const answers: string[] = [];
    for (const operation of operations.filter(pick)) {
      const { status, code } = await callOperation(
        system,
        operation,
        pathOf(operation.template, ids),
        headers(operation),
      );
      answers.push(`${operation.method} ${operation.template}: ${status} ${String(code)}`);
    }
    return answers;
  };
  const guarded = (operation: Operation) => operation['x-scope'] !== undefined;
  const ofAccount = (operation: Operation) => operation.template.includes('{account}');
  /** What belongs to no account and is everybody's to read. */
  const shared = (operation: Operation) => operation['x-scope'] === 'event-types:read';
  const all = (answers: string[], ending: string) =>
    answers.filter((answer) => !answer.endsWith(`: ${ending}`));

  beforeAll(async () => {
    system = await System.start();
    operations = operationsOf(await readDocument(system));
    account = await system.account();
    ({ ids } = await oneOfEach(system));
    theirs = await oneOfEach(system);
  });
  afterAll(() => system.stop());

  it('is asked for by everything but health and the docs', async () => {
    const open = operations.filter((operation) => !guarded(operation));
    expect(open.map(({ method, template }) => `${method} ${template}`)).toEqual([
      'GET /healthz',
      'GET /readyz',
    ]);
    for (const path of ['/healthz', '/readyz', '/docs', '/docs/start.js', '/openapi.json']) {
      expect([path, (await fetch(`${system.url}${path}`)).status]).toEqual([path, 200]);
    }
    expect(operations.length).toBeGreaterThan(20);
  });

  it('refuses every route without a key', async () => {
    expect(all(await walk(guarded, () => ({})), '401 unauthenticated')).toEqual([]);
  });

  it('refuses every route with a key that was never made', async () => {
    const wrong = `phk_${'A'.repeat(43)}`;
    expect(all(await walk(guarded, () => bearer(wrong)), '401 unauthenticated')).toEqual([]);
  });

  it('refuses every route with a key that lacks its scope, and nothing else', async () => {
    const scopes = [...new Set(operations.filter(guarded).map((operation) => operation['x-scope'] ?? ''))];
    expect(scopes.length).toBeGreaterThan(10);
    const lacking = new Map<string, string>();
    for (const scope of scopes) {
      const { secret } = await keyWith({ scopes: scopes.filter((other) => other !== scope) });
      lacking.set(scope, secret);
    }
    const answers = await walk(guarded, (operation) => bearer(lacking.get(operation['x-scope'] ?? '') ?? ''));
    expect(all(answers, '403 forbidden')).toEqual([]);
  });

  it("answers 404 on every route of another account, whatever its resources' ids", async () => {
    const answers = await walk(
      (operation) => guarded(operation) && ofAccount(operation),
      () => bearer(theirs.key),
    );
    expect(answers.length).toBeGreaterThan(15);
    expect(all(answers, '404 not_found')).toEqual([]);
  });

  it("answers 404 for another account's resources under one's own account", async () => {
    const wrong: string[] = [];
    const named = operations.filter((operation) => /\{account\}.*\{/.test(operation.template));
    expect(named.length).toBeGreaterThan(8);
    for (const operation of named) {
      const path = pathOf(operation.template, { ...ids, account: theirs.ids.account });
      for (const key of [theirs.key, system.rootKey]) {
        const { status, code } = await callOperation(system, operation, path, bearer(key));
        if (status !== 404 || code !== 'not_found') wrong.push(`${operation.method} ${path}: ${status}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("refuses an account's key on every route of the operator", async () => {
    const answers = await walk(
      (operation) => guarded(operation) && !ofAccount(operation) && !shared(operation),
      () => bearer(theirs.key),
    );
    expect(answers.length).toBeGreaterThanOrEqual(8);
    expect(all(answers, '403 forbidden')).toEqual([]);
  });

  it("lets an account's key read what all accounts share", async () => {
    const answers = await walk(shared, () => bearer(theirs.key));
    expect(answers).toHaveLength(2);
    expect(all(answers, '200 undefined')).toEqual([]);
  });

  it('left everything as it was while it refused', async () => {
    const kept = { ...ids, key: ids.key };
    expect(await system.ok('GET', `/accounts/${kept.account}`)).toMatchObject({ plan: null });
    expect(await system.ok('GET', `/accounts/${kept.account}/endpoints/${kept.endpoint}`)).toMatchObject({
      description: null,
    });
    expect(await system.ok('GET', `/accounts/${kept.account}/deliveries/${kept.delivery}`)).toMatchObject({
      status: 'held',
    });
    const { data } = await system.ok<{ data: { revokedAt: unknown }[] }>(
      'GET',
      `/accounts/${kept.account}/keys`,
    );
    expect(data.map(({ revokedAt }) => revokedAt)).toEqual([null]);
  });

  it('says with a 401 which scheme it wants', async () => {
    const answer = await listAccounts({});
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
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
