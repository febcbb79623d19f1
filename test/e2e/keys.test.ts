import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ALL_SCOPES } from '../../src/auth/scopes.js';
import type { KeyShown, KeyWithSecret } from '../../src/keys/keys.schema.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

describe('API keys', () => {
  let system: System;
  let account: Account;
  let keys: string;

  const create = (body: Record<string, unknown> = {}, path = keys) =>
    system.ok<KeyWithSecret>('POST', path, { name: 'test', ...body });
  const list = async (path = keys) =>
    (await system.ok<{ data: KeyShown[] }>('GET', `${path}?limit=250`)).data;
  const as = (secret: string) => ({ authorization: `Bearer ${secret}` });

  beforeAll(async () => {
    system = await System.start();
    account = await system.account();
    keys = `${account.path}/keys`;
  });
  afterAll(() => system.stop());

  it('are phk_ and 32 random bytes, with every scope of their maker unless told otherwise', async () => {
    const [one, two] = [await create(), await create({ scopes: ['events:write'] })];
    for (const { secret } of [one, two]) {
      expect(secret).toMatch(/^phk_[A-Za-z0-9_-]{43}$/);
      expect(Buffer.from(secret.slice(4), 'base64url')).toHaveLength(32);
    }
    expect(one.secret).not.toBe(two.secret);
    expect(one).toMatchObject({
      accountId: account.id,
      scopes: ALL_SCOPES,
      expiresAt: null,
      revokedAt: null,
      lastUsedAt: null,
    });
    expect(two.scopes).toEqual(['events:write']);
  });

  it('are kept as their SHA-256 alone', async () => {
    const { secret } = await create();
    const rows = await system.sql<{ hash: Buffer; text: string }>(
      'SELECT hash, row_to_json(k)::text AS text FROM api_keys k',
    );
    const hash = createHash('sha256').update(secret).digest();
    expect(rows.filter((row) => row.hash.equals(hash))).toHaveLength(1);
    for (const { text } of rows) expect(text).not.toContain(secret.slice(8));
  });

  it('are shown once, and listed by their first letters', async () => {
    const { id, secret } = await create();
    const answer = await system.call<{ data: KeyShown[] }>('GET', keys);
    const shown = answer.body.data.find((key) => key.id === id);
    expect(shown?.hint).toBe(`${secret.slice(0, 8)}…`);
    expect(answer.text).not.toContain(secret.slice(8));
    expect(answer.text).not.toContain('"hash"');
  });

  it('of the operator and of each account are listed apart', async () => {
    const other = await system.account();
    const mine = await create();
    const ops = await create({}, '/keys');
    expect(ops.accountId).toBeNull();
    expect((await list('/keys')).map(({ id }) => id)).toContain(ops.id);
    expect((await list('/keys')).map(({ id }) => id)).not.toContain(mine.id);
    expect(await list(`${other.path}/keys`)).toEqual([]);
    expect((await system.call('DELETE', `${other.path}/keys/${mine.id}`)).status).toBe(404);
    expect((await system.call('DELETE', `/keys/${mine.id}`)).status).toBe(404);
    expect((await system.call('DELETE', `${keys}/${ops.id}`)).status).toBe(404);
  });

  it('cannot grant what they lack, and pass on no more than they have', async () => {
    const { secret } = await create({ scopes: ['keys:write', 'events:write'] });
    const refused = await system.call(
      'POST',
      keys,
      { name: 'more', scopes: ['events:write', 'secrets:read'] },
      as(secret),
    );
    expect([refused.status, refused.body.code]).toEqual([403, 'forbidden']);
    expect(refused.body.detail).toContain('secrets:read');
    const made = await system.call<KeyWithSecret>('POST', keys, { name: 'same' }, as(secret));
    expect(made.body.scopes.sort()).toEqual(['events:write', 'keys:write']);
  });

  it('tell when they were last used', async () => {
    const { id, secret } = await create();
    const before = Date.now();
    expect((await system.call('GET', account.path, undefined, as(secret))).status).toBe(200);
    const used = await until(
      async () => (await list()).find((key) => key.id === id)?.lastUsedAt ?? null,
      (at) => at !== null,
    );
    expect(Math.abs(Date.parse(used ?? '') - before)).toBeLessThan(10_000);
  });

  it('are revoked once, however often that is asked', async () => {
    const { id } = await create();
    const revokedAt = async () => (await list()).find((key) => key.id === id)?.revokedAt;
    expect((await system.call('DELETE', `${keys}/${id}`)).status).toBe(204);
    const first = await revokedAt();
    expect(first).toEqual(expect.any(String));
    expect((await system.call('DELETE', `${keys}/${id}`)).status).toBe(204);
    expect(await revokedAt()).toBe(first);
  });

  it('can revoke themselves', async () => {
    const { id, secret } = await create({ scopes: ['keys:write'] });
    expect((await system.call('DELETE', `${keys}/${id}`, undefined, as(secret))).status).toBe(204);
    expect((await system.call('DELETE', `${keys}/${id}`, undefined, as(secret))).status).toBe(401);
  });

  it.each([
    [{}, '/name'],
    [{ name: '' }, '/name'],
    [{ name: 'a\u0000b' }, '/name'],
    [{ name: 'x', scopes: [] }, '/scopes'],
    [{ name: 'x', scopes: ['events:write', 'everything'] }, '/scopes/1'],
    [{ name: 'x', expiresAt: '2020-01-01T00:00:00Z' }, '/expiresAt'],
    [{ name: 'x', expiresAt: 'tomorrow' }, '/expiresAt'],
    [{ name: 'x', secret: 'phk_mine' }, '/secret'],
  ])('are refused for %j', async (body, pointer) => {
    const answer = await system.call<{ errors: { pointer: string }[] }>('POST', keys, body);
    expect([answer.status, answer.body.errors[0]?.pointer]).toEqual([422, pointer]);
  });

  it('are not made for an account that does not exist', async () => {
    const answer = await system.call('POST', '/accounts/acc_00000000000000000000000000/keys', { name: 'x' });
    expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
  });

  it('do not outlive the key that makes them', async () => {
    const account = await system.account();
    const soon = new Date(Date.now() + 3_600_000).toISOString();
    const path = `${account.path}/keys`;
    const parent = await system.ok<{ secret: string }>('POST', path, { name: 'parent', expiresAt: soon });
    const headers = { authorization: `Bearer ${parent.secret}` };
    const later = new Date(Date.now() + 7_200_000).toISOString();
    const refused = await system.call('POST', path, { name: 'child', expiresAt: later }, headers);
    expect([refused.status, refused.body.code]).toEqual([403, 'forbidden']);
    expect((await system.call('POST', path, { name: 'child' }, headers)).body.expiresAt).toBe(soon);
  });
});
