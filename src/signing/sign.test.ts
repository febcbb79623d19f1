import { createPublicKey, verify } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { generateSigningSecret, parseSigningSecret } from './secrets.js';
import { sign } from './sign.js';

const SYMMETRIC = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const ASYMMETRIC =
  'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==';
const MESSAGE = {
  id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  timestampSeconds: 1614265330,
  body: '{"test": 2432232314}',
};
const V1 = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=';
const V1A = 'v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==';

describe('sign', () => {
  it('gives the known answer of v1', () => {
    expect(sign([parseSigningSecret(SYMMETRIC)], MESSAGE)).toBe(V1);
  });

  it('gives the known answer of v1a', () => {
    expect(sign([parseSigningSecret(ASYMMETRIC)], MESSAGE)).toBe(V1A);
  });

  it('signs with each secret, in their order, separated by a space', () => {
    const secrets = [ASYMMETRIC, SYMMETRIC].map(parseSigningSecret);
    expect(sign(secrets, MESSAGE)).toBe(`${V1A} ${V1}`);
  });

  it('signs bytes as it signs the text they are', () => {
    const bytes = { ...MESSAGE, body: new TextEncoder().encode(MESSAGE.body) };
    expect(sign([parseSigningSecret(SYMMETRIC)], bytes)).toBe(V1);
  });

  it('is verified by the reference library, whatever the body and beside an older secret', () => {
    const now = Math.floor(Date.now() / 1000);
    fc.assert(
      fc.property(fc.json(), fc.uuid(), (body, id) => {
        const text = generateSigningSecret();
        const secrets = [generateSigningSecret(), text].map(parseSigningSecret);
        const headers = {
          'webhook-id': id,
          'webhook-timestamp': String(now),
          'webhook-signature': sign(secrets, { id, timestampSeconds: now, body }),
        };
        expect(() => new Webhook(text).verify(body, headers)).not.toThrow();
        expect(() => new Webhook(text).verify(`${body} `, headers)).toThrow('No matching signature');
      }),
    );
  });

  it('is verified by the public key of v1a, whatever the body, and by no other key', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (body) => {
        const secret = parseSigningSecret(generateSigningSecret('v1a'));
        const signature = sign([secret], { id: 'evt_1', timestampSeconds: 1, body }).slice('v1a,'.length);
        const content = Buffer.from(`evt_1.1.${body}`);
        expect(verifies(content, signature, secret.publicKey)).toBe(true);
        const other = parseSigningSecret(ASYMMETRIC).publicKey;
        expect(verifies(content, signature, other)).toBe(false);
      }),
      { numRuns: 25 },
    );
  });

  it.each([
    ['no secret', [], MESSAGE],
    ['an id with a dot, which could be read as another message', [SYMMETRIC], { ...MESSAGE, id: 'a.1' }],
    ['an empty id', [SYMMETRIC], { ...MESSAGE, id: '' }],
    ['a timestamp in milliseconds with a fraction', [SYMMETRIC], { ...MESSAGE, timestampSeconds: 1.5 }],
    ['a timestamp before 1970', [SYMMETRIC], { ...MESSAGE, timestampSeconds: -1 }],
  ])('refuses %s', (_what, secrets, message) => {
    expect(() => sign(secrets.map(parseSigningSecret), message)).toThrow(RangeError);
  });
});

function verifies(content: Buffer, signature: string, whpk: string | null): boolean {
  const x = Buffer.from((whpk ?? '').slice('whpk_'.length), 'base64').toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  return verify(null, content, key, Buffer.from(signature, 'base64'));
}
