import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { customHeaders, MASK, maskHeaders, unmaskHeaders } from './custom-headers.js';

const messages = (headers: unknown): string[] =>
  customHeaders.safeParse(headers).error?.issues.map(({ message }) => message) ?? [];

describe('custom headers', () => {
  it('are kept in lower case', () => {
    expect(customHeaders.parse({ 'X-Tenant': 'Seven', Authorization: 'Bearer A\tb' })).toEqual({
      'x-tenant': 'Seven',
      authorization: 'Bearer A\tb',
    });
  });

  it.each([
    'webhook-id',
    'Webhook-Signature',
    'webhook-anything',
    'Content-Type',
    'content-length',
    'Host',
    'Connection',
    'Transfer-Encoding',
    'TE',
    'Trailer',
    'Upgrade',
    'Expect',
    'User-Agent',
    'Proxy-Authorization',
    'Keep-Alive',
    'Accept-Encoding',
    'Date',
  ])('may not replace %s', (name) => {
    expect(messages({ [name]: 'x' })).toEqual(['is set by Posthorn itself']);
  });

  it.each(['', 'a b', 'a:b', 'a\n', 'é', 'a\u0000', '(a)', 'a'.repeat(101)])(
    'may not be named %j',
    (name) => {
      expect(messages({ [name]: 'x' })).not.toEqual([]);
    },
  );

  it.each(['a\nb', 'a\r\nX-Evil: 1', '\u0000', ' a', 'a ', 'é', 'a\u007f', 'a'.repeat(4097)])(
    'may not hold %j',
    (value) => {
      expect(messages({ 'x-a': value })).not.toEqual([]);
    },
  );

  it('that pass hold nothing that could end a line', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (name, value) => {
        const { data } = customHeaders.safeParse({ [name]: value });
        for (const text of Object.entries(data ?? {}).flat()) expect(text).not.toMatch(/[^\t\u0020-\u007e]/);
      }),
      { numRuns: 2000 },
    );
  });

  it('may not be given twice in two spellings', () => {
    expect(messages({ 'X-A': '1', 'x-a': '2' })).toEqual(['is given twice']);
  });

  it('may be twenty', () => {
    const count = (length: number) =>
      Object.fromEntries(Array.from({ length }, (_, index) => [`x-${index}`, 'v']));
    expect(messages(count(20))).toEqual([]);
    expect(messages(count(21))).toEqual(['must be at most 20 headers']);
  });
});

describe('masking', () => {
  it.each([
    'authorization',
    'cookie',
    'set-cookie',
    'x-api-key',
    'apikey',
    'x-functions-key',
    'ocp-apim-subscription-key',
    'x-auth',
    'x-auth-user',
    'x-access-token',
    'x-secret',
    'x-password',
    'x-session-id',
    'x-jwt-assertion',
  ])('hides the value of %s', (name) => {
    expect(maskHeaders({ [name]: 'v' })).toEqual({ [name]: MASK });
  });

  it.each(['x-tenant', 'accept', 'webhook-id', 'webhook-signature', 'x-author', 'x-keyboard'])(
    'shows the value of %s',
    (name) => {
      expect(maskHeaders({ [name]: 'v' })).toEqual({ [name]: 'v' });
    },
  );

  it('is undone by what is stored, so that an answer can be sent back as it came', () => {
    const name = fc.constantFrom('authorization', 'x-api-key', 'x-tenant', 'constructor', 'valueof');
    fc.assert(
      fc.property(fc.dictionary(name, fc.string()), (stored) => {
        expect(unmaskHeaders(maskHeaders(stored), stored)).toEqual(stored);
      }),
    );
  });

  it('is taken literally where nothing is stored, `constructor` included', () => {
    const sent = { authorization: MASK, constructor: MASK } as Record<string, string>;
    expect(unmaskHeaders(sent, {})).toEqual({ authorization: MASK, constructor: MASK });
  });
});
