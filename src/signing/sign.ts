import type { SigningSecret } from './secrets.js';

/** Nothing goes out unsigned. */
export const UNSIGNED = 'A message is signed with at least one secret.';

/** What is signed: `id.timestamp.body`, joined by dots (Standard Webhooks 1.0, "Signature scheme"). */
export interface SignedMessage {
  /** The `webhook-id`. It holds no dot, or two different messages could have one signature. */
  id: string;
  /** The `webhook-timestamp`: unix seconds of this attempt, whole. */
  timestampSeconds: number;
  /** Exactly what is sent. */
  body: string | Uint8Array;
}

/**
 * The `webhook-signature` header: one `v1,…` or `v1a,…` for each secret in the order given, separated by spaces.
 * Several secrets are signed with at once while an old one is phased out.
 *
 * @throws RangeError for no secret, an id with a dot, or a timestamp that is not whole seconds.
 */
export function sign(
  secrets: readonly SigningSecret[],
  { id, timestampSeconds, body }: SignedMessage,
): string {
  if (secrets.length === 0) throw new RangeError(UNSIGNED);
  if (id === '' || id.includes('.')) throw new RangeError('The id of a signed message holds no dot.');
  if (!Number.isSafeInteger(timestampSeconds) || timestampSeconds < 0) {
    throw new RangeError('The timestamp of a signed message is in whole unix seconds.');
  }
  const head = `${id}.${timestampSeconds}.`;
  const content =
    typeof body === 'string' ? Buffer.from(head + body) : Buffer.concat([Buffer.from(head), body]);
  return secrets.map((secret) => `${secret.kind},${secret.signature(content)}`).join(' ');
}
