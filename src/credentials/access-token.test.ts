import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { OutgoingResponse } from '../transport/types.js';
import { readTokenAnswer, tokenFailure, tokenRequest, usableMs } from './access-token.js';
import type { OAuth2Client } from './credentials.schema.js';

const CLIENT: OAuth2Client = {
  type: 'oauth2',
  tokenUrl: 'https://id.example.com/token',
  clientId: 'post horn',
  clientSecret: 'a:b&c=+%',
  clientAuthentication: 'basic',
};

const answer = (
  statusCode: number,
  body: unknown,
  more: Partial<OutgoingResponse> = {},
): OutgoingResponse => ({
  statusCode,
  headers: {},
  body: typeof body === 'string' ? body : JSON.stringify(body),
  bodyEncoding: 'utf8',
  truncated: false,
  ...more,
});
const codeOf = (response: OutgoingResponse) => {
  const read = readTokenAnswer(response);
  return read.ok ? read.token : read.failure.code;
};

describe('a token request', () => {
  it('names the client in a header, encoded as a form first (RFC 6749 §2.3.1)', () => {
    const { headers, body } = tokenRequest({ ...CLIENT, scope: 'a b', audience: 'https://api.example.com' });
    const pair = Buffer.from(String(headers.authorization).replace('Basic ', ''), 'base64').toString();
    expect(pair).toBe('post+horn:a%3Ab%26c%3D%2B%25');
    expect(Object.fromEntries(new URLSearchParams(body))).toEqual({
      grant_type: 'client_credentials',
      scope: 'a b',
      audience: 'https://api.example.com',
    });
  });

  it('names the client in the form where it is told to', () => {
    const { headers, body } = tokenRequest({ ...CLIENT, clientAuthentication: 'post' });
    expect(headers).not.toHaveProperty('authorization');
    expect(Object.fromEntries(new URLSearchParams(body))).toEqual({
      grant_type: 'client_credentials',
      client_id: CLIENT.clientId,
      client_secret: CLIENT.clientSecret,
    });
  });
});

describe('the answer of a token server', () => {
  it.each([
    [answer(200, { access_token: 'abc', token_type: 'Bearer', expires_in: 3600 }), 'abc'],
    [answer(200, { access_token: 'abc', token_type: 'bearer' }), 'abc'],
    [answer(200, { access_token: 'abc' }), 'abc'],
    [answer(400, { error: 'invalid_client' }), 'oauth2_token_refused'],
    [answer(401, ''), 'oauth2_token_refused'],
    [answer(404, '<html>'), 'oauth2_token_refused'],
    [answer(408, ''), 'oauth2_token_unavailable'],
    [answer(429, ''), 'oauth2_token_unavailable'],
    [answer(500, { error: 'server_error' }), 'oauth2_token_unavailable'],
    [answer(503, ''), 'oauth2_token_unavailable'],
    [answer(302, ''), 'oauth2_token_malformed'],
    [answer(204, ''), 'oauth2_token_malformed'],
    [answer(200, 'garbage'), 'oauth2_token_malformed'],
    [answer(200, 'null'), 'oauth2_token_malformed'],
    [answer(200, '[]'), 'oauth2_token_malformed'],
    [answer(200, { access_token: 7 }), 'oauth2_token_malformed'],
    [answer(200, { access_token: '' }), 'oauth2_token_malformed'],
    [answer(200, { access_token: 'a b' }), 'oauth2_token_malformed'],
    [answer(200, { access_token: 'a\r\nx-evil: 1' }), 'oauth2_token_malformed'],
    [answer(200, { access_token: 'a'.repeat(8193) }), 'oauth2_token_malformed'],
    [answer(200, { access_token: 'abc', token_type: 'mac' }), 'oauth2_token_malformed'],
    [answer(200, { access_token: 'abc', token_type: {} }), 'oauth2_token_malformed'],
    [answer(200, { access_token: 'abc' }, { truncated: true }), 'oauth2_token_malformed'],
    [answer(200, 'AAEC', { bodyEncoding: 'base64' }), 'oauth2_token_malformed'],
  ])('%j is %s', (response, expected) => {
    expect(codeOf(response)).toBe(expected);
  });

  it('is told by its status and error code alone, since the rest may repeat what was sent', () => {
    const body = { error: 'invalid_client', error_description: `no client ${CLIENT.clientSecret}` };
    expect(readTokenAnswer(answer(401, body))).toMatchObject({
      failure: { kind: 'permanent', detail: 'The token server answered 401 (invalid_client).' },
    });
    expect(readTokenAnswer(answer(401, { error: CLIENT.clientSecret }))).toMatchObject({
      failure: { detail: 'The token server answered 401.' },
    });
  });

  it('gives either a token that fits into a header or a failure, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 200, max: 599 }),
        fc.json(),
        fc.string({ unit: 'binary' }),
        (status, json, token) => {
          for (const body of [json, JSON.stringify({ access_token: token })]) {
            const read = readTokenAnswer(answer(status, body));
            if (read.ok) expect(read.token).toMatch(/^[!-~]+$/);
          }
        },
      ),
    );
  });
});

describe('no answer of a token server', () => {
  it('is transient, unless its address is refused', () => {
    const of = (code: string, kind: 'transient' | 'blocked') => tokenFailure({ code, kind, detail: 'Why.' });
    expect(of('connect_refused', 'transient')).toEqual({
      code: 'oauth2_token_unavailable',
      kind: 'transient',
      detail: 'Token server: Why. (connect_refused)',
    });
    expect(of('address_refused', 'blocked')).toMatchObject({
      code: 'oauth2_token_url_refused',
      kind: 'blocked',
    });
  });
});

describe('how long a token is used', () => {
  it.each([
    [3600, 3_540_000],
    ['3600', 3_540_000],
    [60, 54_000],
    [0, 0],
    [-5, 0],
    [undefined, 270_000],
    ['soon', 270_000],
    [1e12, 86_340_000],
  ])('%j seconds: %d ms', (seconds, expected) => {
    expect(usableMs(seconds)).toBe(expected);
  });

  it('is always less than it is good for', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, min: 0.01 }), (seconds) => {
        expect(usableMs(seconds)).toBeGreaterThanOrEqual(0);
        expect(usableMs(seconds)).toBeLessThan(Math.min(seconds, 86_400) * 1000);
      }),
    );
  });
});
