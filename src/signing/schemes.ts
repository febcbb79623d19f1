import { sign, type SignedMessage, UNSIGNED } from './sign.js';
import { parseSigningSecret, parseTextSecret, type SigningSecret } from './secrets.js';

/**
 * How deliveries to an endpoint are signed: by Standard Webhooks, or as Stripe or GitHub do it, for receivers that were written
 * for one of these.
 */
export const SIGNING_SCHEMES = ['standard', 'stripe', 'github'] as const;
export type SigningSchemeName = (typeof SIGNING_SCHEMES)[number];

/** What an endpoint keeps of it. */
export interface Signing {
  scheme: SigningSchemeName;
  /** Where the signature goes, in lower case. */
  header: string;
}

export interface SigningScheme {
  readonly header: string;
  /** @throws InvalidSigningSecretError */
  readonly parse: (text: string) => SigningSecret;
  /** The header's value. @param secrets all that are live, the newest first */
  readonly sign: (secrets: readonly SigningSecret[], message: SignedMessage) => string;
}

export const SCHEMES: Record<SigningSchemeName, SigningScheme> = {
  standard: { header: 'webhook-signature', parse: parseSigningSecret, sign },
  stripe: { header: 'stripe-signature', parse: parseTextSecret, sign: signAsStripe },
  github: { header: 'x-hub-signature-256', parse: parseTextSecret, sign: signAsGitHub },
};

export const STANDARD: Signing = { scheme: 'standard', header: SCHEMES.standard.header };

/**
 * `t=1614265330,v1=<hex>,v1=<hex>`: HMAC-SHA256 of `t.body`, once for each live secret (Stripe, "Resolve webhook signature
 * verification errors", manual verification).
 */
function signAsStripe(secrets: readonly SigningSecret[], { timestampSeconds, body }: SignedMessage): string {
  if (secrets.length === 0) throw new RangeError(UNSIGNED);
  const head = Buffer.from(`${timestampSeconds}.`);
  const content = Buffer.concat([head, bytesOf(body)]);
  return [`t=${timestampSeconds}`, ...secrets.map((secret) => `v1=${secret.signature(content)}`)].join(',');
}

/**
 * `sha256=<hex>`: HMAC-SHA256 of the body (GitHub, "Validating webhook deliveries"). There is room for one signature, so while a
 * secret is rotated the oldest live one signs: its receiver has until the end of the overlap to know the new one.
 */
function signAsGitHub(secrets: readonly SigningSecret[], { body }: SignedMessage): string {
  const oldest = secrets.at(-1);
  if (!oldest) throw new RangeError(UNSIGNED);
  return `sha256=${oldest.signature(bytesOf(body))}`;
}

const bytesOf = (body: string | Uint8Array): Uint8Array =>
  typeof body === 'string' ? Buffer.from(body) : body;
