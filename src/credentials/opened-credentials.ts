import { createHash } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { MASK } from '../endpoints/custom-headers.js';
import type { TlsCredentials } from '../transport/types.js';
import { authHeader, type Credentials } from './credentials.js';
import type { Auth } from './credentials.schema.js';
import { TokenSource } from './token-source.js';

const MAX_KEPT = 10_000;

/** An endpoint's credentials, ready to send with. */
export interface ReadyCredentials {
  headers: Readonly<Record<string, string>>;
  /** The same as the record shows them. */
  maskedHeaders: Readonly<Record<string, string>>;
  /** What must not be seen where a receiver repeats it. */
  secrets: readonly string[];
  tls: TlsCredentials | undefined;
  tokens: TokenSource | undefined;
}

interface Kept {
  sealed: Buffer;
  ready: ReadyCredentials;
}

/**
 * Credentials that were opened once. What is stored is sealed anew with each change, so a change is a miss here, and with
 * it go the token and the connections of what was before.
 */
export class OpenedCredentials {
  private readonly kept = new Map<string, Kept>();

  /** @param open decrypts what is stored under this endpoint's id */
  constructor(private readonly open: (endpointId: string, sealed: Buffer) => Credentials) {}

  get(endpointId: string, sealed: Buffer): ReadyCredentials {
    const known = this.kept.get(endpointId);
    if (known?.sealed.equals(sealed) === true) return known.ready;
    const key = `${endpointId} ${createHash('sha256').update(sealed).digest('base64url')}`;
    const ready = makeReady(this.open(endpointId, sealed), key);
    if (this.kept.size >= MAX_KEPT) this.kept.delete(this.kept.keys().next().value ?? '');
    this.kept.set(endpointId, { sealed, ready });
    return ready;
  }
}

/** @param key names these credentials among all others */
export function makeReady({ auth, ca }: Credentials, key: string): ReadyCredentials {
  const header = authHeader(auth);
  const value = authValue(auth);
  return {
    headers: header === null || value === null ? {} : { [header]: value },
    maskedHeaders: header === null ? {} : { [header]: MASK },
    secrets: secretsOf(auth, value),
    tls:
      auth.type !== 'mtls' && ca === null
        ? undefined
        : {
            key,
            ...(ca === null ? {} : { ca }),
            ...(auth.type === 'mtls' ? { certificate: auth.certificate, privateKey: auth.privateKey } : {}),
          },
    tokens:
      auth.type !== 'oauth2'
        ? undefined
        : new TokenSource(
            auth,
            // A company's own authority may stand behind its token server too, but so may a public one.
            ca === null ? undefined : { key: `${key} token`, ca: [...rootCertificates, ca] },
          ),
  };
}

function authValue(auth: Auth): string | null {
  switch (auth.type) {
    case 'basic':
      // RFC 7617 §2.1: in UTF-8.
      return `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`;
    case 'bearer':
      return `Bearer ${auth.token}`;
    case 'header':
      return auth.value;
    case 'none':
    case 'oauth2':
    case 'mtls':
      return null;
  }
}

function secretsOf(auth: Auth, value: string | null): string[] {
  switch (auth.type) {
    case 'basic':
      return [auth.password, value?.slice('Basic '.length) ?? ''];
    case 'bearer':
      return [auth.token];
    case 'header':
      return [auth.value];
    case 'oauth2':
      return [auth.clientSecret];
    case 'none':
    case 'mtls':
      return [];
  }
}
