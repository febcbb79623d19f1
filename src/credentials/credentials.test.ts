import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Problem } from '../common/problems.js';
import { MASK } from '../endpoints/custom-headers.js';
import {
  authHeader,
  changeCredentials,
  checkFits,
  maskAuth,
  NO_CREDENTIALS,
  unmaskAuth,
} from './credentials.js';
import { type Auth, auth } from './credentials.schema.js';

const NOW = Date.parse('2026-06-01T00:00:00Z');
const HIDDEN = 's3cr3t-0f-7h3-0wn3r';
const OAUTH2 = { type: 'oauth2', tokenUrl: 'https://id.example.com/token', clientId: 'posthorn' } as const;

const EACH: Auth[] = [
  { type: 'none' },
  { type: 'basic', username: 'posthorn', password: HIDDEN },
  { type: 'bearer', token: HIDDEN },
  { type: 'header', name: 'x-door', value: HIDDEN },
  { ...OAUTH2, clientSecret: HIDDEN, scope: 'hooks.write', clientAuthentication: 'post' },
  { type: 'mtls', certificate: 'a certificate', privateKey: HIDDEN },
];

const messages = (given: unknown): [string, string][] =>
  auth.safeParse(given).error?.issues.map(({ path, message }) => [path.join('/'), message]) ?? [];

function pointerOf(refused: () => unknown): string | undefined {
  try {
    refused();
  } catch (error) {
    return (error as Problem).errors[0]?.pointer;
  }
  return undefined;
}

describe('the schema of `auth`', () => {
  it.each(EACH)('takes %j', (given) => {
    expect(auth.parse(given)).toEqual(given);
  });

  it('has the token server ask for the client in a header unless told', () => {
    expect(auth.parse({ ...OAUTH2, clientSecret: 'x' })).toMatchObject({ clientAuthentication: 'basic' });
  });

  it.each([
    [{ type: 'digest' }, 'type'],
    [{ type: 'none', token: 'x' }, ''],
    [{ type: 'basic', username: 'a:b', password: 'c' }, 'username'],
    [{ type: 'basic', username: 'a', password: 'b\nc' }, 'password'],
    [{ type: 'bearer', token: '' }, 'token'],
    [{ type: 'bearer', token: 'Bearer abc' }, 'token'],
    [{ type: 'bearer', token: 'a\r\nx-evil: 1' }, 'token'],
    [{ type: 'header', name: 'webhook-signature', value: 'x' }, 'name'],
    [{ type: 'header', name: 'Host', value: 'x' }, 'name'],
    [{ type: 'header', name: 'a b', value: 'x' }, 'name'],
    [{ type: 'header', name: 'x-a', value: 'x\r\ny: z' }, 'value'],
    [{ type: 'header', name: 'x-a', value: '' }, 'value'],
    [{ ...OAUTH2, clientSecret: 'é' }, 'clientSecret'],
    [{ ...OAUTH2, clientSecret: 'x', scope: 'a  b' }, 'scope'],
    [{ ...OAUTH2, clientSecret: 'x', clientAuthentication: 'jwt' }, 'clientAuthentication'],
    [{ type: 'mtls', certificate: 'x'.repeat(16_385), privateKey: 'x' }, 'certificate'],
  ])('refuses %j at %s', (given, path) => {
    expect(messages(given)[0]?.[0]).toBe(path);
  });

  it('writes names of headers in lower case', () => {
    expect(auth.parse({ type: 'header', name: 'X-Door', value: 'x' })).toMatchObject({ name: 'x-door' });
  });

  it('lets nothing through that could end a line', () => {
    const text = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(text, text, (one, two) => {
        for (const given of [
          { type: 'basic', username: one, password: two },
          { type: 'bearer', token: one },
          { type: 'header', name: 'x-a', value: one },
          { ...OAUTH2, clientSecret: one, scope: two },
        ]) {
          const { data } = auth.safeParse(given);
          if (data) expect(Object.values(data).join('')).not.toMatch(/[\u0000-\u0008\u000a-\u001f\u007f]/);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('masking of `auth`', () => {
  it.each(EACH)('shows no secret of %j', (given) => {
    expect(JSON.stringify(maskAuth(given))).not.toContain(HIDDEN);
    expect(maskAuth(given).type).toBe(given.type);
  });

  it('is undone by what is stored, and what is shown can be sent back as it came', () => {
    const text = fc.stringMatching(/^[!-~]{1,40}$/);
    const any: fc.Arbitrary<Auth> = fc.oneof(
      fc.constant({ type: 'none' } as const),
      fc.record({ type: fc.constant('basic' as const), username: fc.constant('u'), password: text }),
      fc.record({ type: fc.constant('bearer' as const), token: text }),
      fc.record({ type: fc.constant('header' as const), name: fc.constant('x-a'), value: text }),
      fc.record({
        type: fc.constant('oauth2' as const),
        tokenUrl: fc.constant('https://id.example.com/'),
        clientId: text,
        clientSecret: text,
        clientAuthentication: fc.constantFrom('basic' as const, 'post' as const),
      }),
    );
    fc.assert(
      fc.property(any, any, (stored, other) => {
        const sentBack = auth.parse(maskAuth(stored));
        expect(unmaskAuth(sentBack, stored)).toEqual(stored);
        if (other.type !== stored.type && stored.type !== 'none')
          expect(() => unmaskAuth(sentBack, other)).toThrow(Problem);
      }),
    );
  });

  it('keeps the secret while what is shown of it changes', () => {
    const [, basic] = EACH;
    expect(
      unmaskAuth({ type: 'basic', username: 'other', password: MASK }, basic ?? { type: 'none' }),
    ).toEqual({
      type: 'basic',
      username: 'other',
      password: HIDDEN,
    });
  });

  it('is refused where nothing of its type is stored', () => {
    expect(pointerOf(() => unmaskAuth({ type: 'bearer', token: MASK }, { type: 'none' }))).toBe(
      '/auth/token',
    );
  });
});

describe('a change of credentials', () => {
  const stored = { auth: { type: 'bearer', token: HIDDEN } as const, ca: 'kept' };

  it('leaves what is not sent as it is', () => {
    expect(changeCredentials(stored, {}, NOW)).toEqual(stored);
    expect(changeCredentials(stored, { auth: { type: 'none' } }, NOW)).toEqual({
      ...NO_CREDENTIALS,
      ca: 'kept',
    });
    expect(changeCredentials(stored, { auth: null, tls: null }, NOW)).toEqual(NO_CREDENTIALS);
    expect(changeCredentials(stored, { tls: null }, NOW)).toEqual({ ...stored, ca: null });
  });

  it('is refused beside a header or signature that would take the same place', () => {
    const place = {
      url: 'https://a.example/',
      headers: ['x-door', 'authorization'],
      signatureHeader: 'x-sign',
    };
    const fits = (given: Auth, isNew: boolean, more = {}) =>
      pointerOf(() => checkFits({ auth: given, ca: null }, { ...place, ...more }, isNew));
    for (const given of EACH) {
      const header = authHeader(given);
      expect(fits(given, true) === undefined).toBe(header === null);
      expect(fits(given, true, { headers: ['x-other'] })).toBeUndefined();
      expect(fits(given, false)).toBe(header === null ? undefined : `/headers/${header}`);
      if (header !== null) {
        expect(fits(given, false, { headers: [], signatureHeader: header })).toBe('/signing/header');
      }
    }
  });

  it('is refused where a client certificate would never be shown', () => {
    const mtls: Auth = { type: 'mtls', certificate: 'c', privateKey: 'k' };
    const place = { url: 'http://a.example/', headers: [], signatureHeader: 'webhook-signature' };
    expect(pointerOf(() => checkFits({ auth: mtls, ca: null }, place, true))).toBe('/auth/type');
    expect(pointerOf(() => checkFits({ auth: mtls, ca: null }, place, false))).toBe('/url');
  });
});
