import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  generateSigningSecret,
  InvalidSigningSecretError,
  parseSigningSecret,
  parseTextSecret,
  publicKeyIn,
} from './secrets.js';

const whsec = (bytes: Uint8Array) => `whsec_${Buffer.from(bytes).toString('base64')}`;

describe('generateSigningSecret', () => {
  it('makes a whsec_ of 32 bytes unless told otherwise', () => {
    const secret = generateSigningSecret();
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(parseSigningSecret(secret).kind).toBe('v1');
  });

  it('makes a whsk_ whose public half fits its seed', () => {
    const secret = generateSigningSecret('v1a');
    expect(secret).toMatch(/^whsk_[A-Za-z0-9+/]{86}==$/);
    expect(parseSigningSecret(secret).kind).toBe('v1a');
  });

  it('never makes the same one twice', () => {
    const made = Array.from({ length: 50 }, () => [
      generateSigningSecret(),
      generateSigningSecret('v1a'),
    ]).flat();
    expect(new Set(made).size).toBe(100);
  });
});

describe('parseSigningSecret', () => {
  it('takes any key of 24 to 64 bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 24, maxLength: 64 }), (key) => {
        expect(parseSigningSecret(whsec(key)).kind).toBe('v1');
      }),
    );
  });

  it('refuses a key of any other length', () => {
    const lengths = fc.oneof(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 65, max: 200 }));
    fc.assert(
      fc.property(lengths, (length) => {
        expect(() => parseSigningSecret(whsec(new Uint8Array(length)))).toThrow(/24 to 64 bytes/);
      }),
    );
  });

  it.each([
    ['no prefix', 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
    ['an unknown prefix', 'sk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
    ['a prefix in capitals', 'WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
    ['a public key', 'whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4='],
    ['base64 without its padding', `whsec_${Buffer.alloc(32).toString('base64').slice(0, -1)}`],
    ['base64 of URLs', `whsec_${Buffer.alloc(24, 0xff).toString('base64url')}`],
    ['base64 with stray bits at its end', `whsec_${'A'.repeat(42)}B=`],
    ['a line end', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n'],
    ['a seed without public half', `whsk_${Buffer.alloc(32).toString('base64')}`],
    ['a public half of another seed', `whsk_${Buffer.alloc(64, 1).toString('base64')}`],
    ['nothing', ''],
  ])('refuses %s, with a stable code and without repeating the secret', (_what, text) => {
    refuses(parseSigningSecret, text);
  });
});

describe('parseTextSecret', () => {
  it.each([
    ['shorter than 24 characters', 'abcdefghijklmnopqrstuvw'],
    ['longer than 200', 'abcdefghij'.repeat(20) + 'k'],
    ['of seven different characters', 'abcdefg'.repeat(4)],
    ['with a space', 'abcdefghijkl mnopqrstuvwxyz'],
    ['with a line end', 'abcdefghijklmnopqrstuvwxyz\n'],
    ['not of ASCII', 'abcdefghijklmnopqrstuvwxyzé'],
    ['an ed25519 secret', generateSigningSecret('v1a')],
    ['a public key', 'whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4='],
  ])('refuses one that is %s, with a stable code and without repeating it', (_what, text) => {
    refuses(parseTextSecret, text);
  });
});

describe('publicKeyIn', () => {
  it('is the whpk_ half of a whsk_ secret', () => {
    const text =
      'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==';
    expect(publicKeyIn(text)).toBe('whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=');
    expect(parseSigningSecret(text).publicKey).toBe(publicKeyIn(text));
  });

  it('is null for a whsec_ secret, and for a text of another scheme', () => {
    expect(publicKeyIn(generateSigningSecret())).toBeNull();
    expect(publicKeyIn('f3b1c0-of-our-old-system-77aa')).toBeNull();
  });
});

function refuses(parse: (text: string) => unknown, text: string): void {
  let thrown: unknown;
  try {
    parse(text);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(InvalidSigningSecretError);
  expect(thrown).toMatchObject({ code: 'signing_secret_invalid' });
  if (text.length > 8) expect((thrown as Error).message).not.toContain(text.slice(6, 20));
}
