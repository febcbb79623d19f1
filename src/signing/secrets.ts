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
  /** What it signs: versions of Standard Webhooks, or `text` for other schemes, whose key is the secret's text itself. */
  readonly kind: 'v1' | 'v1a' | 'text';
  /** `whpk_…` of a v1a secret. Others have none. */
  readonly publicKey: string | null;
  /** Signature of `content`: in base64, of a `text` secret in hexadecimal. */
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

/** Lengths of a text that is a key by itself. 24 characters of base64 or hexadecimal have 96 bits at least. */
const TEXT_CHARACTERS = { least: 24, most: 200 };
/** Fewer different ones are a word, a pattern or a mistake. */
const DIFFERENT_CHARACTERS = 8;

/**
 * Takes a text as the key of HMAC-SHA256, as Stripe and GitHub do: a `whsec_` with its prefix, or whatever a provider who moves in
 * has shared with its receivers.
 *
 * @throws InvalidSigningSecretError when it is too short, too long or too plain to be a secret, or not printable ASCII
 */
export function parseTextSecret(text: string): SigningSecret {
  const { least, most } = TEXT_CHARACTERS;
  if (/^wh[sp]k_/.test(text)) {
    throw new InvalidSigningSecretError(
      'A key of ed25519 cannot sign by this scheme; give a secret that begins with whsec_, or another text.',
    );
  }
  if (!/^[\x21-\x7e]*$/.test(text)) {
    throw new InvalidSigningSecretError(
      'A secret has no spaces and nothing but printable ASCII; copy it again.',
    );
  }
  if (text.length < least || text.length > most) {
    throw new InvalidSigningSecretError(
      `A secret has ${least} to ${most} characters, and this one ${text.length}; generate a new one.`,
    );
  }
  if (new Set(text).size < DIFFERENT_CHARACTERS) {
    throw new InvalidSigningSecretError(
      `A secret has at least ${DIFFERENT_CHARACTERS} different characters; generate a random one.`,
    );
  }
  return {
    kind: 'text',
    publicKey: null,
    signature: (content) => createHmac('sha256', text).update(content).digest('hex'),
  };
}

/**
 * `whpk_…` of a secret's text, what a receiver verifies v1a signatures with; null for others, whose receivers need the secret itself.
 *
 * @throws InvalidSigningSecretError for a `whsk_` that is broken
 */
export function publicKeyIn(text: string): string | null {
  return text.startsWith('whsk_') ? parseSigningSecret(text).publicKey : null;
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
