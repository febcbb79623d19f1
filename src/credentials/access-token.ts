import type { OutgoingResponse, TransportFailure } from '../transport/types.js';
import { TRANSPORT_CODES } from '../transport/codes.js';
import type { OAuth2Client } from './credentials.schema.js';

/** Access tokens are kept for a day at most, whatever the token server says of them. */
const MAX_SECONDS = 24 * 3600;
/** RFC 6749 §5.1 lets a token server leave `expires_in` out. */
const UNSAID_SECONDS = 300;
/** A token is given up so long before it ends: a request takes time to arrive, and clocks differ. */
const MARGIN_SECONDS = 60;

/** As much of a tenth as {@link MARGIN_SECONDS} allows, so that short-lived tokens are used at all. */
const MARGIN_SHARE = 0.1;

const MAX_TOKEN = 8192;

export type TokenCode = keyof typeof TRANSPORT_CODES & `oauth2_token_${string}`;

export interface AccessToken {
  token: string;
  /** How long it may be used, counted from when it was asked for; 0: once. */
  usableMs: number;
}

/** The request of RFC 6749 §4.4.2, for a client that authenticates by §2.3.1. */
export function tokenRequest(client: OAuth2Client): { headers: Record<string, string>; body: string } {
  const { clientId, clientSecret, scope, audience } = client;
  const form = new URLSearchParams({ grant_type: 'client_credentials' });
  if (scope !== undefined) form.set('scope', scope);
  if (audience !== undefined) form.set('audience', audience);
  const headers: Record<string, string> = {
    'content-type': 'application/x-www-form-urlencoded',
    accept: 'application/json',
  };
  if (client.clientAuthentication === 'post') {
    form.set('client_id', clientId);
    form.set('client_secret', clientSecret);
  } else {
    const pair = `${formEncoded(clientId)}:${formEncoded(clientSecret)}`;
    headers.authorization = `Basic ${Buffer.from(pair).toString('base64')}`;
  }
  return { headers, body: form.toString() };
}

const formEncoded = (text: string): string => new URLSearchParams({ '': text }).toString().slice(1);

/**
 * Reads what a token server answered (RFC 6749 §5). A failure's detail holds nothing of the answer but its status and its
 * error code: whatever else a token server says may repeat what it was sent.
 */
export function readTokenAnswer(
  response: OutgoingResponse,
): ({ ok: true } & AccessToken) | { ok: false; failure: TransportFailure } {
  const { statusCode } = response;
  if (statusCode >= 500 || statusCode === 408 || statusCode === 425 || statusCode === 429) {
    return refusal('oauth2_token_unavailable', `The token server answered ${statusCode}.`);
  }
  const answer = response.truncated ? null : parseObject(response);
  if (statusCode >= 400) {
    const error =
      typeof answer?.error === 'string' && /^[a-z_]{1,40}$/.test(answer.error) ? answer.error : '';
    return refusal(
      'oauth2_token_refused',
      `The token server answered ${statusCode}${error && ` (${error})`}.`,
    );
  }
  if (statusCode < 200 || statusCode >= 300) {
    return refusal('oauth2_token_malformed', `The token server answered ${statusCode}, which is no token.`);
  }
  if (response.truncated) {
    return refusal('oauth2_token_malformed', 'The answer of the token server is longer than 16 KiB.');
  }
  const { access_token: token, token_type: type = 'Bearer', expires_in: seconds } = answer ?? {};
  // RFC 6749 §7.1: a client that does not understand the type does not use the token.
  if (typeof type !== 'string' || type.toLowerCase() !== 'bearer') {
    return refusal('oauth2_token_malformed', 'The token of the token server is not of type Bearer.');
  }
  if (typeof token !== 'string' || token.length > MAX_TOKEN || !/^[\x21-\x7e]+$/.test(token)) {
    return refusal(
      'oauth2_token_malformed',
      'The answer of the token server holds no access token that a header can.',
    );
  }
  return { ok: true, token, usableMs: usableMs(seconds) };
}

/** What became of a token request that got no answer. */
export function tokenFailure({ kind, code, detail }: TransportFailure): TransportFailure {
  return kind === 'blocked'
    ? failure('oauth2_token_url_refused', `Token server: ${detail} (${code})`)
    : failure('oauth2_token_unavailable', `Token server: ${detail} (${code})`);
}

export function failure(code: TokenCode, detail: string): TransportFailure {
  return { code, detail, kind: TRANSPORT_CODES[code].kind };
}

/** @param expiresIn seconds as a number; some token servers say it as a text */
export function usableMs(expiresIn: unknown): number {
  const said = typeof expiresIn === 'string' && /^\d{1,15}$/.test(expiresIn) ? Number(expiresIn) : expiresIn;
  const seconds = typeof said === 'number' && Number.isFinite(said) ? said : UNSAID_SECONDS;
  const bounded = Math.min(Math.max(seconds, 0), MAX_SECONDS);
  return Math.floor((bounded - Math.min(MARGIN_SECONDS, bounded * MARGIN_SHARE)) * 1000);
}

function refusal(code: TokenCode, detail: string): { ok: false; failure: TransportFailure } {
  return { ok: false, failure: failure(code, detail) };
}

function parseObject({ body, bodyEncoding }: OutgoingResponse): Record<string, unknown> | null {
  if (bodyEncoding !== 'utf8') return null;
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
