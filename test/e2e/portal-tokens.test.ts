import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { decodeJwt } from 'jose';
import { PORTAL_SCOPES } from '../../src/auth/scopes.js';
import type { PortalToken, PortalTokenMade } from '../../src/portal-tokens/portal-tokens.schema.js';
import { type Account, type Answer, System } from '../support/system.js';

describe('portal tokens', () => {
  let system: System;
  let account: Account;

  const as = (token: string) => ({ authorization: `Bearer ${token}` });
  const make = (body: Record<string, unknown> = {}, headers: Record<string, string> = {}) =>
    system.call<PortalTokenMade>('POST', `${account.path}/portal-tokens`, body, headers);
  const exchange = (code: string): Promise<Answer<PortalToken & { code?: string }>> =>
    system.call('POST', '/portal/exchange', { code }, { authorization: '' });
  const tokenFor = async (body: Record<string, unknown> = {}, headers: Record<string, string> = {}) => {
    const made = await make(body, headers);
    return (await exchange(made.body.code)).body;
  };
  const key = async (body: Record<string, unknown>, path = `${account.path}/keys`) =>
    system.ok<{ id: string; secret: string }>('POST', path, { name: 'page', ...body });
  const statusOf = async (token: string, path = `${account.path}/endpoints`) =>
    (await system.call('GET', path, undefined, as(token))).status;
  const inMs = (time: string) => Date.parse(time) - Date.now();

  beforeAll(async () => {
    system = await System.start({
      env: { POSTHORN_GUESSES_PER_ADDRESS: '1000', POSTHORN_GUESSES_PER_PREFIX: '1000' },
    });
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
  });

  it('are made by the provider and exchanged by the page, uncached, for the account alone', async () => {
    const made = await make();
    expect(made.status).toBe(201);
    expect(made.headers.get('cache-control')).toBe('no-store');
    expect(made.body).toEqual({
      id: expect.stringMatching(/^ptk_[0-9a-z]{26}$/),
      accountId: account.id,
      scopes: [...PORTAL_SCOPES],
      code: expect.stringMatching(/^ptc_[A-Za-z0-9_-]{43}$/),
      codeExpiresAt: expect.any(String),
      exchangePath: '/v1/portal/exchange',
      expiresAt: expect.any(String),
    });
    expect(Math.abs(inMs(made.body.codeExpiresAt) - 300_000)).toBeLessThan(30_000);
    expect(Math.abs(inMs(made.body.expiresAt) - 900_000)).toBeLessThan(30_000);

    const { status, headers, body } = await exchange(made.body.code);
    expect([status, headers.get('cache-control')]).toEqual([200, 'no-store']);
    const { id, accountId, scopes, expiresAt } = made.body;
    expect(body).toEqual({ id, accountId, scopes, expiresAt, token: expect.any(String) });
    expect(decodeJwt(body.token)).toMatchObject({ sub: account.id, jti: id, scope: scopes.join(' ') });

    const endpoint = await system.call(
      'POST',
      `${account.path}/endpoints`,
      { url: 'http://127.0.0.1:4433/', paused: true },
      as(body.token),
    );
    expect(endpoint.status).toBe(201);
    expect(await statusOf(body.token, `${(await system.account()).path}/endpoints`)).toBe(404);
  });

  it('are exchanged once, however many try at once', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { code } = (await make()).body;
      const answers = await Promise.all(Array.from({ length: 20 }, () => exchange(code)));
      expect(answers.map(({ status }) => status).sort()).toEqual([
        200,
        ...Array.from({ length: 19 }, () => 400),
      ]);
      const refused = answers.find(({ status }) => status === 400);
      expect(refused?.body.code).toBe('portal_code_invalid');
    }
  });

  it('are not given out again by an Idempotency-Key, with or without a key of ours', async () => {
    const { code } = (await make()).body;
    const again = (authorization: string) =>
      system.call('POST', '/portal/exchange', { code }, { authorization, 'idempotency-key': 'same' });
    expect((await again('')).status).toBe(200);
    for (const authorization of ['', `Bearer ${system.rootKey}`])
      expect((await again(authorization)).status).toBe(400);
    expect(await system.sql(`SELECT 1 FROM idempotency_keys WHERE key = 'same'`)).toEqual([]);
  });

  it('keep neither code nor token in the database', async () => {
    const { code } = (await make()).body;
    const { token } = (await exchange(code)).body;
    const rows = await system.sql<{ code_hash: Buffer; text: string }>(
      'SELECT code_hash, row_to_json(t)::text AS text FROM portal_tokens t',
    );
    const hash = createHash('sha256').update(code).digest();
    expect(rows.filter((row) => row.code_hash.equals(hash))).toHaveLength(1);
    for (const { text } of rows) {
      expect(text).not.toContain(code.slice(8));
      expect(text).not.toContain(token.split('.')[2]);
    }
  });

  it('have no more scopes than asked for, than their maker and than a portal may have', async () => {
    const weak = await key({ scopes: ['portal-tokens:write', 'events:read', 'events:write', 'keys:write'] });
    expect((await make({}, as(weak.secret))).body.scopes).toEqual(['events:read']);
    const excess = await make({ scopes: ['events:read', 'endpoints:read'] }, as(weak.secret));
    expect([excess.status, excess.text.includes('endpoints:read')]).toEqual([403, true]);
    const none = await key({ scopes: ['portal-tokens:write', 'events:write'] });
    expect((await make({}, as(none.secret))).status).toBe(403);

    const { token, scopes } = await tokenFor({ scopes: ['deliveries:read', 'deliveries:read'] });
    expect(scopes).toEqual(['deliveries:read']);
    expect(await statusOf(token, `${account.path}/deliveries`)).toBe(200);
    expect(await statusOf(token)).toBe(403);
  });

  it('make nothing that outlives them', async () => {
    const { token } = await tokenFor();
    for (const path of [`${account.path}/portal-tokens`, `${account.path}/keys`])
      expect((await system.call('POST', path, { name: 'x' }, as(token))).status).toBe(403);
  });

  it('end with the key that makes them', async () => {
    const expiresAt = new Date(Date.now() + 120_000).toISOString();
    const short = await key({ expiresAt });
    const made = await make({ expiresInSeconds: 3600 }, as(short.secret));
    expect([made.body.expiresAt, made.body.codeExpiresAt]).toEqual([expiresAt, expiresAt]);
  });

  it('are over at once when the key that made them is revoked, exchanged or not', async () => {
    const maker = await key({});
    const { token } = await tokenFor({}, as(maker.secret));
    const { code } = (await make({}, as(maker.secret))).body;
    const others = await tokenFor();
    expect(await statusOf(token)).toBe(200);
    await system.ok('DELETE', `${account.path}/keys/${maker.id}`);
    expect(await statusOf(token)).toBe(401);
    expect((await exchange(code)).status).toBe(400);
    expect(await statusOf(others.token)).toBe(200);
  });

  it('are revoked singly, exchanged or not, and only under their own account', async () => {
    const { id, token } = await tokenFor();
    const waiting = (await make()).body;
    const other = await system.account();
    expect((await system.call('DELETE', `${other.path}/portal-tokens/${id}`)).status).toBe(404);
    expect(await statusOf(token)).toBe(200);
    for (const each of [id, id, waiting.id])
      expect((await system.call('DELETE', `${account.path}/portal-tokens/${each}`)).status).toBe(204);
    expect(await statusOf(token)).toBe(401);
    expect((await exchange(waiting.code)).status).toBe(400);
  });

  it('are refused when their time is over, and so are their codes', async () => {
    const { code } = (await make()).body;
    await system.sql('UPDATE portal_tokens SET code_expires_at = now() WHERE code_expires_at > now()');
    expect((await exchange(code)).status).toBe(400);
    const { token } = await tokenFor();
    await system.sql('UPDATE portal_tokens SET expires_at = now() WHERE expires_at > now()');
    expect(await statusOf(token)).toBe(401);
  });

  it('are not good before they are exchanged', async () => {
    const { token } = await tokenFor();
    expect(await statusOf(token)).toBe(200);
    await system.sql('UPDATE portal_tokens SET exchanged_at = NULL');
    expect(await statusOf(token)).toBe(401);
  });

  it('are audited by their own id', async () => {
    const endpoint = await account.endpoint({ url: 'http://127.0.0.1:4433/', paused: true });
    const { id, token } = await tokenFor();
    const path = `${account.path}/endpoints/${endpoint.id}/secret`;
    expect((await system.call('GET', path, undefined, as(token))).status).toBe(200);
    const rows = await system.sql<{ action: string }>(
      'SELECT action FROM audit_log WHERE key_id = $1 ORDER BY id',
      [id],
    );
    expect(rows.map(({ action }) => action)).toEqual(['portal_token.exchange', 'secret.read']);
  });

  it.each([
    [{ expiresInSeconds: 59 }, '/expiresInSeconds'],
    [{ expiresInSeconds: 3601 }, '/expiresInSeconds'],
    [{ expiresInSeconds: 90.5 }, '/expiresInSeconds'],
    [{ scopes: [] }, '/scopes'],
    [{ scopes: ['keys:write'] }, '/scopes/0'],
    [{ scopes: ['events:write'] }, '/scopes/0'],
    [{ scopes: ['portal-tokens:write'] }, '/scopes/0'],
    [{ accountId: 'acc_x' }, '/accountId'],
  ])('are not made of %j', async (body, pointer) => {
    const answer = await system.call<{ errors: { pointer: string }[] }>(
      'POST',
      `${account.path}/portal-tokens`,
      body,
    );
    expect([answer.status, answer.body.errors[0]?.pointer]).toEqual([422, pointer]);
  });

  it('are not made for an account that does not exist', async () => {
    const path = '/accounts/acc_00000000000000000000000000/portal-tokens';
    expect((await system.call('POST', path, {})).status).toBe(404);
  });

  it.each(['x', 'ptc_', `ptc_${'A'.repeat(43)}`, `phk_${'A'.repeat(43)}`, "ptc_' OR true --", 'ptc_\u0000'])(
    'are not exchanged for %j',
    async (code) => {
      const answer = await exchange(code);
      expect([answer.status, answer.body.code]).toEqual([400, 'portal_code_invalid']);
    },
  );
});
