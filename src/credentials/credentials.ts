import { invalidField } from '../common/problems.js';
import { MASK } from '../endpoints/custom-headers.js';
import { certificateEnd, readAuthorities, readClientCertificate } from './certificates.js';
import type { Auth, AuthType } from './credentials.schema.js';

/** What an endpoint's receiver is shown, and whom it is trusted by. */
export interface Credentials {
  auth: Auth;
  /** PEM of the authorities to trust instead of the public ones. */
  ca: string | null;
}

export const NO_CREDENTIALS: Credentials = { auth: { type: 'none' }, ca: null };

/** What a caller may send; what is absent stays as it is. */
export interface CredentialsSent {
  auth?: Auth | null | undefined;
  tls?: { ca: string } | null | undefined;
}

/** The field of each type that is never shown. */
const SECRET_FIELD = {
  none: null,
  basic: 'password',
  bearer: 'token',
  header: 'value',
  oauth2: 'clientSecret',
  mtls: 'privateKey',
} as const satisfies Record<AuthType, string | null>;

export function maskAuth(auth: Auth): Auth {
  const field = SECRET_FIELD[auth.type];
  return field === null ? auth : { ...auth, [field]: MASK };
}

/**
 * Puts the stored secret back where a caller sent the mask that it had read before.
 *
 * @throws Problem `validation_failed` where nothing of that type is stored
 */
export function unmaskAuth(sent: Auth, stored: Auth): Auth {
  const field = SECRET_FIELD[sent.type];
  if (field === null || valueOf(sent, field) !== MASK) return sent;
  if (stored.type !== sent.type) {
    throw invalidField(
      `/auth/${field}`,
      `\`${MASK}\` keeps a stored value, and none is stored for \`${sent.type}\``,
    );
  }
  return { ...sent, [field]: valueOf(stored, field) };
}

const valueOf = (auth: Auth, field: string): unknown =>
  new Map<string, unknown>(Object.entries(auth)).get(field);

/**
 * What is to be stored, its certificates checked.
 *
 * @param nowMs that they are valid at, unix milliseconds
 * @throws Problem `validation_failed` pointing at the field
 */
export function changeCredentials(stored: Credentials, sent: CredentialsSent, nowMs: number): Credentials {
  return {
    auth:
      sent.auth === undefined
        ? stored.auth
        : checkedAuth(unmaskAuth(sent.auth ?? NO_CREDENTIALS.auth, stored.auth), nowMs),
    ca:
      sent.tls === undefined
        ? stored.ca
        : sent.tls === null
          ? null
          : readAuthorities(sent.tls.ca, '/tls/ca', nowMs),
  };
}

function checkedAuth(auth: Auth, nowMs: number): Auth {
  if (auth.type !== 'mtls') return auth;
  return { type: 'mtls', ...readClientCertificate(auth, '/auth', nowMs) };
}

/** When deliveries begin to fail unless a certificate is renewed; null where there is none. */
export function certificatesEnd({ auth, ca }: Credentials): Date | null {
  return certificateEnd(auth.type === 'mtls' ? auth.certificate : null, ca);
}

/** The header that this type takes for itself, in lower case. */
export function authHeader(auth: Auth): string | null {
  switch (auth.type) {
    case 'basic':
    case 'bearer':
    case 'oauth2':
      return 'authorization';
    case 'header':
      return auth.name;
    case 'none':
    case 'mtls':
      return null;
  }
}

/**
 * Whether the credentials can be sent beside everything else of the endpoint.
 *
 * @param isNew whether they are what is being changed; otherwise it is the rest that has to fit them
 * @throws Problem `validation_failed` pointing at what is being changed
 */
export function checkFits(
  { auth }: Credentials,
  { url, headers, signatureHeader }: { url: string; headers: readonly string[]; signatureHeader: string },
  isNew: boolean,
): void {
  const header = authHeader(auth);
  const pointer = auth.type === 'header' ? '/auth/name' : '/auth/type';
  if (header !== null && headers.includes(header)) {
    throw isNew
      ? invalidField(pointer, `\`headers\` has \`${header}\` already`)
      : invalidField(`/headers/${header}`, `\`auth\` of type \`${auth.type}\` sets it`);
  }
  if (header === signatureHeader) {
    throw isNew
      ? invalidField(pointer, `\`${header}\` holds the signature`)
      : invalidField('/signing/header', `\`auth\` of type \`${auth.type}\` sets it`);
  }
  if (auth.type === 'mtls' && !/^https:/i.test(url)) {
    throw invalidField(isNew ? pointer : '/url', 'a client certificate can be shown only to an `https:` URL');
  }
}
