import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { exportJWK, exportSPKI, generateKeyPair, importJWK, SignJWT, UnsecuredJWT } from 'jose';
import { ALL_SCOPES } from '../../src/auth/scopes.js';
import type { KeyWithSecret } from '../../src/keys/keys.schema.js';
import { Issuer } from '../support/issuer.js';
import { type Account, System } from '../support/system.js';

const AUDIENCE = 'https://posthorn.example/api';
const seconds = (fromNow: number) => Math.floor(Date.now() / 1000) + fromNow;

describe('tokens of an OpenID Connect issuer', () => {
  let system: System;
  let issuer: Issuer;
  let account: Account;

  const env = (of: Issuer): Record<string, string> => ({
    POSTHORN_OIDC_ISSUER: of.url,
    POSTHORN_OIDC_AUDIENCE: AUDIENCE,
    POSTHORN_GUESSES_PER_ADDRESS: '1000',
  });
  const call = (token: string, path = '/accounts', method = 'GET', body?: unknown, of = system) =>
    of.call(method, path, body, { authorization: `Bearer ${token}` });
  const sign = (claims: Record<string, unknown> = {}) =>
    issuer.sign({ aud: AUDIENCE, sub: 'ann', scope: 'accounts:read', ...claims });
  const statusOf = async (token: string) => (await call(token)).status;

  beforeAll(async () => {
    issuer = await Issuer.start();
    system = await System.start({ env: env(issuer) });
    account = await system.account();
  });
  afterAll(async () => {
    await system.stop();
    await issuer.stop();
  });

  it('let an operator do what their scopes say', async () => {
    expect(await statusOf(await sign())).toBe(200);
    const refused = await call(await sign({ scope: 'openid events:read' }));
    expect([refused.status, refused.body.code]).toEqual([403, 'forbidden']);
    expect(refused.headers.get('www-authenticate')).toContain('scope="accounts:read"');
    expect(await statusOf(await sign({ scope: ['accounts:read'] }))).toBe(200);
    expect(await statusOf(await sign({ aud: ['https://other.example', AUDIENCE] }))).toBe(200);
  });

  it.each(['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'])(
    'are verified when signed by %s',
    async (algorithm) => {
      const other = await Issuer.start();
      await other.rotate({ algorithm });
      const theirs = await System.start({ env: env(other) });
      try {
        const token = await other.sign({ aud: AUDIENCE, sub: 'ann', scope: 'accounts:read' });
        expect((await call(token, '/accounts', 'GET', undefined, theirs)).status).toBe(200);
      } finally {
        await theirs.stop();
        await other.stop();
      }
    },
  );

  it.each([
    ['for somebody else', () => sign({ aud: 'https://other.example' })],
    ['for nobody', () => sign({ aud: undefined })],
    ['for an audience that begins the same', () => sign({ aud: `${AUDIENCE}/more` })],
    ['of another issuer', () => sign({ iss: 'https://login.example.com' })],
    ['of an issuer that is written otherwise', () => sign({ iss: `${issuer.url}/` })],
    ['that has expired', () => sign({ exp: seconds(-10) })],
    ['that never expires', () => sign({ exp: undefined })],
    ['that is not good yet', () => sign({ nbf: seconds(60) })],
    ['without a subject', () => sign({ sub: undefined })],
    ['with a subject that is too long', () => sign({ sub: 'a'.repeat(256) })],
    ['that is too large', () => sign({ padding: 'a'.repeat(8 * 1024) })],
    [
      'without a signature',
      () =>
        new UnsecuredJWT({ scope: 'accounts:read', sub: 'ann' })
          .setIssuer(issuer.url)
          .setAudience(AUDIENCE)
          .setExpirationTime('5m')
          .encode(),
    ],
    [
      'signed by another’s key under the issuer’s key id',
      async () => {
        const { privateKey } = await generateKeyPair('ES256');
        return issuer.sign(
          { aud: AUDIENCE, sub: 'ann', scope: 'accounts:read' },
          { ...issuer.newest, privateKey },
        );
      },
    ],
    [
      'signed by a key that stands in the token',
      async () => {
        const { publicKey, privateKey } = await generateKeyPair('ES256');
        return new SignJWT({ scope: 'accounts:read', sub: 'ann' })
          .setProtectedHeader({ alg: 'ES256', jwk: await exportJWK(publicKey) })
          .setIssuer(issuer.url)
          .setAudience(AUDIENCE)
          .setExpirationTime('5m')
          .sign(privateKey);
      },
    ],
    ...['pem', 'jwk', 'x'].map(
      (form) =>
        [
          `signed by HS256 with the public key (${form}) as its secret`,
          async () => {
            const { publicJwk, kid } = issuer.newest;
            const pem = await exportSPKI(
              (await importJWK(publicJwk, 'ES256')) as Parameters<typeof exportSPKI>[0],
            );
            const secret = { pem, jwk: JSON.stringify(publicJwk), x: publicJwk.x ?? '' }[form] ?? '';
            return new SignJWT({ scope: 'accounts:read', sub: 'ann' })
              .setProtectedHeader({ alg: 'HS256', kid })
              .setIssuer(issuer.url)
              .setAudience(AUDIENCE)
              .setExpirationTime('5m')
              .sign(new TextEncoder().encode(secret));
          },
        ] as const,
    ),
    [
      'with other claims than were signed',
      async () => {
        const [header, , signature] = (await sign()).split('.');
        const [, claims] = (await sign({ scope: ALL_SCOPES.join(' ') })).split('.');
        return `${header}.${claims}.${signature}`;
      },
    ],
    ['of nonsense', () => 'a.b.c'],
    ['of an empty header', () => `${Buffer.from('{}').toString('base64url')}.e30.AAAA`],
    ['of a header that is no object', () => `${Buffer.from('null').toString('base64url')}.e30.AAAA`],
  ])('are refused %s', async (_, make) => {
    const answer = await call(await make());
    expect([answer.status, answer.body.code]).toEqual([401, 'unauthenticated']);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"');
  });

  it('may be some seconds early or late, as clocks are', async () => {
    expect(await statusOf(await sign({ nbf: seconds(3) }))).toBe(200);
  });

  it('are audited by their subject', async () => {
    const endpoint = await account.endpoint({ url: 'http://127.0.0.1:4433/', paused: true });
    const token = await sign({ sub: 'auth0|ann', scope: 'secrets:read' });
    expect((await call(token, `${account.path}/endpoints/${endpoint.id}/secret`)).status).toBe(200);
    const rows = await system.sql('SELECT 1 FROM audit_log WHERE key_id = $1', ['oidc:auth0|ann']);
    expect(rows).toHaveLength(1);
  });

  it('make no key or portal token that outlives them', async () => {
    const exp = seconds(120);
    const token = await sign({ exp, scope: 'keys:write portal-tokens:write events:read' });
    const until = new Date(exp * 1000).toISOString();
    const key = await call(token, `${account.path}/keys`, 'POST', { name: 'x' });
    expect((key.body as unknown as KeyWithSecret).expiresAt).toBe(until);
    const portal = await call(token, `${account.path}/portal-tokens`, 'POST', {});
    expect(portal.body).toMatchObject({ expiresAt: until, scopes: ['events:read'] });
  });

  it('with an end beyond what a time can be are refused, and nothing breaks', async () => {
    for (const exp of [1e15, 9e18]) {
      const token = await sign({ exp, scope: 'keys:write' });
      expect((await call(token, `${account.path}/keys`, 'POST', { name: 'x' })).status).toBe(401);
    }
  });

  describe('that name an account', () => {
    let bound: System;
    beforeAll(async () => {
      bound = await System.start({
        like: system,
        env: { POSTHORN_OIDC_ACCOUNT_CLAIM: 'https://posthorn.example/account' },
      });
    });
    afterAll(() => bound.stop());
    const claim = (value: unknown) =>
      sign({ scope: ALL_SCOPES.join(' '), 'https://posthorn.example/account': value });
    const statusOn = async (token: string, path: string) =>
      (await call(token, path, 'GET', undefined, bound)).status;

    it('are bound to it', async () => {
      const other = await system.account();
      const token = await claim(account.id);
      expect(await statusOn(token, `${account.path}/endpoints`)).toBe(200);
      expect(await statusOn(token, `${other.path}/endpoints`)).toBe(404);
      expect(await statusOn(token, '/accounts')).toBe(403);
    });

    it('are an operator’s when they say so, and nobody’s when they say nothing', async () => {
      expect(await statusOn(await claim('*'), '/accounts')).toBe(200);
      for (const value of [undefined, '', 'acc_x', ['*'], true])
        expect([value, await statusOn(await claim(value), '/accounts')]).toEqual([value, 401]);
    });
  });

  describe('of an issuer that has trouble', () => {
    let other: Issuer;
    let theirs: System;
    /** One process: each has keys of its own. */
    const ask = async (token: string) => {
      const response = await fetch(`${theirs.processes[0]}/v1/accounts`, {
        headers: { authorization: `Bearer ${token}` },
      });
      return {
        status: response.status,
        headers: response.headers,
        body: (await response.json()) as { code?: string },
      };
    };
    const signed = (claims: Record<string, unknown> = {}) =>
      other.sign({ aud: AUDIENCE, sub: 'ann', scope: 'accounts:read', ...claims });

    beforeEach(async () => {
      other = await Issuer.start();
      theirs = await System.start({ env: env(other) });
    });
    afterEach(async () => {
      await theirs.stop();
      await other.stop();
    });

    it('go on while it is away when their key is known, and are answered 503 when it is not', async () => {
      const token = await signed();
      expect((await ask(token)).status).toBe(200);
      await other.stop();
      for (let count = 0; count < 5; count += 1) expect((await ask(token)).status).toBe(200);
      expect((await ask(await signed({ sub: 'bob' }))).status).toBe(200);
    });

    it('are answered 503 until its keys are known, which is no failure of theirs, and keys of ours go on', async () => {
      await other.stop();
      const token = await signed();
      for (let count = 0; count < 40; count += 1) {
        const { status, headers, body } = await ask(token);
        expect([status, body.code]).toEqual([503, 'identity_provider_unavailable']);
        expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
      }
      expect((await ask(theirs.rootKey)).status).toBe(200);
    });

    it('are refused by keys that it made up, without a request to it each', async () => {
      await ask(await signed());
      for (let count = 0; count < 30; count += 1) {
        const kid = createHash('sha256').update(String(count)).digest('hex');
        const token = await other.sign({ aud: AUDIENCE, sub: 'ann' }, { ...other.newest, kid });
        expect((await ask(token)).status).toBe(401);
      }
      expect(other.keyRequests).toBe(1);
    });
  });

  it('are nothing where no issuer is configured', async () => {
    const plain = await System.start();
    try {
      expect((await call(await sign(), '/accounts', 'GET', undefined, plain)).status).toBe(401);
    } finally {
      await plain.stop();
    }
  });
});
