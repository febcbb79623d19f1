import { createHmac, createPrivateKey, createPublicKey, randomBytes, sign as signWith } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** Key sizes of Standard Webhooks 1.0, "Signature scheme": 24 to 64 bytes of symmetric key. */
const MIN_KEY_BYTES = 24;
const MAX_KEY_BYTES = 64;
const SEED_BYTES = 32;
const GENERATED_KEY_BYTES = 32;

/** DER in front of a raw ed25519 seed to make it PKCS #8 (RFC 8410 §7): node:crypto imports no raw keys before Node 24. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

/** A parsed secret. It holds ready keys, so parse once and keep it rather than parsing for each signature. */
export interface SigningSecret {
  readonly kind: 'v1' | 'v1a';
  /** `whpk_…` of a v1a secret. A v1 secret has none. */
  readonly publicKey: string | null;
  /** Signature of `content` in base64. */
  readonly signature: (content: Uint8Array) => string;
}

/** A text that is no signing secret. The message tells what to do and never repeats the text. */
export class InvalidSigningSecretError extends Error {
  readonly code = 'signing_secret_invalid';
  override readonly name = 'InvalidSigningSecretError';
}

/**
 * A new secret from 32 random bytes: `whsec_` + base64 of the key (v1, HMAC-SHA256), or `whsk_` + base64 of
 * seed and public key (v1a, ed25519).
 */
export function generateSigningSecret(kind: 'v1' | 'v1a' = 'v1'): string {
  const bytes = randomBytes(GENERATED_KEY_BYTES);
  if (kind === 'v1') return `whsec_${bytes.toString('base64')}`;
  return `whsk_${Buffer.concat([bytes, publicHalf(privateKeyOf(bytes))]).toString('base64')}`;
}

/**
 * Reads `whsec_…` or `whsk_…` (Standard Webhooks 1.0, "Signature scheme").
 *
 * @throws InvalidSigningSecretError for another prefix, base64 that is not canonical, a wrong length, or a `whsk_`
 * whose public half is not of its seed.
 */
export function parseSigningSecret(text: string): SigningSecret {
  if (text.startsWith('whsec_')) return hmacSecret(decode(text.slice('whsec_'.length)));
  if (text.startsWith('whsk_')) return ed25519Secret(decode(text.slice('whsk_'.length)));
  throw new InvalidSigningSecretError(
    text.startsWith('whpk_')
      ? 'This is a public key, which verifies but cannot sign; give the secret, which begins with whsk_.'
      : 'A signing secret begins with whsec_ (HMAC-SHA256) or whsk_ (ed25519); give it with its prefix.',
  );
}

/** `whpk_…`, what a receiver verifies v1a signatures with; null for a v1 secret, whose receiver needs the secret itself. */
export function publicKeyOf(secret: SigningSecret): string | null {
  return secret.publicKey;
}

function hmacSecret(key: Buffer): SigningSecret {
  if (key.length < MIN_KEY_BYTES || key.length > MAX_KEY_BYTES) {
    throw new InvalidSigningSecretError(
      `A whsec_ secret holds ${MIN_KEY_BYTES} to ${MAX_KEY_BYTES} bytes, and this one ${key.length}; generate a new one.`,
    );
  }
  return {
    kind: 'v1',
    publicKey: null,
    signature: (content) => createHmac('sha256', key).update(content).digest('base64'),
  };
}

function ed25519Secret(bytes: Buffer): SigningSecret {
  if (bytes.length !== 2 * SEED_BYTES) {
    throw new InvalidSigningSecretError(
      `A whsk_ secret holds ${2 * SEED_BYTES} bytes, seed and public key, and this one ${bytes.length}; generate a new one.`,
    );
  }
  const privateKey = privateKeyOf(bytes.subarray(0, SEED_BYTES));
  const publicBytes = publicHalf(privateKey);
  // Receivers would be handed a key that verifies nothing we sign.
  if (!publicBytes.equals(bytes.subarray(SEED_BYTES))) {
    throw new InvalidSigningSecretError(
      'The public half of this whsk_ secret is not of its seed; copy it again or generate a new one.',
    );
  }
  return {
    kind: 'v1a',
    publicKey: `whpk_${publicBytes.toString('base64')}`,
    signature: (content) => signWith(null, content, privateKey).toString('base64'),
  };
}

function privateKeyOf(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
}

function publicHalf(privateKey: KeyObject): Buffer {
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return spki.subarray(spki.length - SEED_BYTES);
}

/** Only canonical base64: receivers' libraries differ in what they forgive, so a forgiving reader here breaks one there. */
function decode(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) {
    throw new InvalidSigningSecretError(
      'What follows the prefix of a signing secret is standard base64 with its padding; copy the secret again as a whole.',
    );
  }
  return bytes;
}
