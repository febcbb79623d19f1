import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decodeJwt, decodeProtectedHeader, SignJWT, UnsecuredJWT } from 'jose';
import { KeyRing } from '../secrets/key-ring.js';
import { looksLikePortalToken, readPortalToken, signPortalToken } from './portal-jwt.js';

const entry = (name: string, byte: number) => `${name}:${Buffer.alloc(32, byte).toString('base64')}`;
const CLAIMS = { id: 'ptk_1', accountId: 'acc_1' };
const NOW = new Date('2026-01-01T00:00:00Z');
const LATER = new Date('2026-01-01T00:15:00Z');
const ring = new KeyRing(entry('k1', 1));
const sign = (by = ring, expiresAt = LATER) =>
  signPortalToken(by, CLAIMS, { scopes: ['events:read'], issuedAt: NOW, expiresAt });

/** The same token with something else in it, signed as ours are. */
const forge = (
  header: Record<string, unknown>,
  claims: Record<string, unknown> = {},
  key = ring.derive('posthorn/portal-token/v1')?.key ?? new Uint8Array(),
) =>
  new SignJWT({
    iss: 'posthorn',
    aud: 'posthorn-portal',
    sub: 'acc_1',
    jti: 'ptk_1',
    iat: NOW.getTime() / 1000,
    exp: LATER.getTime() / 1000,
    ...claims,
  })
    .setProtectedHeader({ alg: 'HS256', typ: 'posthorn-portal+jwt', kid: 'k1', ...header })
    .sign(key);

describe('a portal token', () => {
  it('is read as what was signed, and says what it is', async () => {
    const token = await sign();
    expect(await readPortalToken(ring, token, NOW)).toEqual(CLAIMS);
    expect(decodeProtectedHeader(token)).toEqual({ alg: 'HS256', typ: 'posthorn-portal+jwt', kid: 'k1' });
    expect(decodeJwt(token)).toEqual({
      iss: 'posthorn',
      aud: 'posthorn-portal',
      sub: 'acc_1',
      jti: 'ptk_1',
      scope: 'events:read',
      iat: NOW.getTime() / 1000,
      exp: LATER.getTime() / 1000,
    });
    expect(looksLikePortalToken(token)).toBe(true);
    for (const other of ['phk_x', 'a.b.c', '', await forge({ typ: 'JWT' })])
      expect([other, looksLikePortalToken(other)]).toEqual([other, false]);
  });

  it('is still good when the ring has a newer key, and not when its own is gone', async () => {
    const token = await sign();
    const newer = new KeyRing(`${entry('k2', 2)},${entry('k1', 1)}`);
    expect(await readPortalToken(newer, token, NOW)).toEqual(CLAIMS);
    expect(decodeProtectedHeader(await sign(newer)).kid).toBe('k2');
    expect(await readPortalToken(new KeyRing(entry('k2', 2)), token, NOW)).toBeNull();
    // Another key of the same name.
    expect(await readPortalToken(new KeyRing(entry('k1', 3)), token, NOW)).toBeNull();
  });

  it('ends to the second', async () => {
    const token = await sign();
    expect(await readPortalToken(ring, token, new Date(LATER.getTime() - 1000))).toEqual(CLAIMS);
    expect(await readPortalToken(ring, token, LATER)).toBe('expired');
  });

  it('is signed by the forging of this test as by us', async () => {
    expect(await readPortalToken(ring, await forge({}), NOW)).toEqual(CLAIMS);
  });

  it.each([
    ['of another type', { typ: 'JWT' }, {}],
    ['of no type', { typ: undefined }, {}],
    ['by another algorithm', { alg: 'HS512' }, {}],
    ['without the name of its key', { kid: undefined }, {}],
    ['with another key’s name', { kid: 'k9' }, {}],
    ['with a path for its key’s name', { kid: '../../dev/null' }, {}],
    ['of another issuer', {}, { iss: 'https://login.example.com' }],
    ['for somebody else', {}, { aud: 'posthorn' }],
    ['without an account', {}, { sub: undefined }],
    ['without an id', {}, { jti: undefined }],
    ['without an end', {}, { exp: undefined }],
    ['that is not good yet', {}, { nbf: LATER.getTime() / 1000 }],
  ])('is refused %s', async (_, header, claims) => {
    expect(await readPortalToken(ring, await forge(header, claims), NOW)).toBeNull();
  });

  it('is refused without a signature, or signed by what is not its key', async () => {
    const unsecured = new UnsecuredJWT({ sub: 'acc_1', jti: 'ptk_1' })
      .setIssuer('posthorn')
      .setAudience('posthorn-portal')
      .setIssuedAt(NOW)
      .setExpirationTime(LATER)
      .encode();
    expect(await readPortalToken(ring, unsecured, NOW)).toBeNull();
    const [header, claims] = (await sign()).split('.');
    expect(await readPortalToken(ring, `${header}.${claims}.`, NOW)).toBeNull();
    for (const key of [
      Buffer.alloc(32, 1),
      ring.derive('another purpose')?.key ?? new Uint8Array(),
      Buffer.alloc(32),
    ])
      expect(await readPortalToken(ring, await forge({}, {}, new Uint8Array(key)), NOW)).toBeNull();
  });

  it('is refused with any letter changed', async () => {
    const token = await sign();
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.';
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: token.length - 2 }),
        fc.constantFrom(...letters.split('')),
        async (at, letter) => {
          fc.pre(token[at] !== letter);
          const changed = token.slice(0, at) + letter + token.slice(at + 1);
          expect(await readPortalToken(ring, changed, NOW)).toBeNull();
        },
      ),
      { numRuns: 300 },
    );
  });
});
