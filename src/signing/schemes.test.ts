import { describe, expect, it } from '@jest/globals';
import { Webhooks } from '@octokit/webhooks';
import fc from 'fast-check';
import Stripe from 'stripe';
import { SCHEMES, SIGNING_SCHEMES } from './schemes.js';
import { generateSigningSecret, parseTextSecret } from './secrets.js';

const BODY = '{"id":"evt_1","type":"invoice.paid","data":{"name":"Zoë"}}';
const now = () => Math.floor(Date.now() / 1000);
const message = (body: string) => ({ id: 'evt_1', timestampSeconds: now(), body });
/** Whatever a provider may have shared with its receivers. */
const text = fc
  .string({
    unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    minLength: 24,
  })
  .filter((secret) => new Set(secret).size >= 8 && secret.length <= 200 && !/^wh[sp]k_/.test(secret));

describe('the scheme of Stripe', () => {
  const stripe = new Stripe('sk_test_none');
  const verifies = (body: string, header: string, secret: string) => {
    try {
      stripe.webhooks.constructEvent(body, header, secret);
      return true;
    } catch (error) {
      expect(error).toBeInstanceOf(Stripe.errors.StripeSignatureVerificationError);
      return false;
    }
  };

  it('is verified by its library, with any secret and any body, and not when one byte differs', () => {
    fc.assert(
      fc.property(text, fc.json(), (secret, data) => {
        const body = `{"data":${data}}`;
        const header = SCHEMES.stripe.sign([parseTextSecret(secret)], message(body));
        expect(verifies(body, header, secret)).toBe(true);
        expect(verifies(`${body} `, header, secret)).toBe(false);
        expect(verifies(body, header, `${secret}x`)).toBe(false);
      }),
    );
  });

  it('has a signature of each live secret, so that each of their holders can verify', () => {
    const secrets = [generateSigningSecret(), generateSigningSecret()];
    const header = SCHEMES.stripe.sign(secrets.map(parseTextSecret), message(BODY));
    expect(header).toMatch(/^t=\d{10},v1=[0-9a-f]{64},v1=[0-9a-f]{64}$/);
    expect(secrets.map((secret) => verifies(BODY, header, secret))).toEqual([true, true]);
  });

  it('is refused by its library when it is five minutes old', () => {
    const secret = generateSigningSecret();
    const old = { ...message(BODY), timestampSeconds: now() - 301 };
    expect(verifies(BODY, SCHEMES.stripe.sign([parseTextSecret(secret)], old), secret)).toBe(false);
  });
});

describe('the scheme of GitHub', () => {
  it('is verified by its library, with any secret and any body, and not when one byte differs', async () => {
    await fc.assert(
      fc.asyncProperty(text, fc.json(), async (secret, body) => {
        const header = SCHEMES.github.sign([parseTextSecret(secret)], message(body));
        const webhooks = new Webhooks({ secret });
        expect(await webhooks.verify(body, header)).toBe(true);
        expect(await webhooks.verify(`${body} `, header)).toBe(false);
        expect(await new Webhooks({ secret: `${secret}x` }).verify(body, header)).toBe(false);
      }),
    );
  });

  it('is signed with the oldest live secret, since there is room for one signature', async () => {
    const [fresh, old] = [generateSigningSecret(), generateSigningSecret()];
    const header = SCHEMES.github.sign([fresh, old].map(parseTextSecret), message(BODY));
    expect(await new Webhooks({ secret: old }).verify(BODY, header)).toBe(true);
    expect(await new Webhooks({ secret: fresh }).verify(BODY, header)).toBe(false);
  });
});

describe('every scheme', () => {
  it.each(SIGNING_SCHEMES)('refuses to let a message go unsigned: %s', (scheme) => {
    expect(() => SCHEMES[scheme].sign([], message(BODY))).toThrow(RangeError);
  });
});
