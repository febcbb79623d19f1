import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import type { TlsCredentials } from './types.js';

/** Contexts kept beyond those in use: each holds keys and authorities, up to some hundred kilobytes. */
const MAX_KEPT = 256;

/** What TLS connections are made with. To read PEM anew for each connection would take longer than the handshake. */
export class SecureContexts {
  /** For requests without credentials of their own. */
  readonly shared: SecureContext;
  /** In order of use, the longest unused first. */
  readonly #kept = new Map<string, SecureContext>();

  /** @param ca PEM of the authorities to trust instead of the ones that Node brings along. */
  constructor(private readonly ca?: string) {
    this.shared = secureContext(ca === undefined ? {} : { ca });
  }

  get size(): number {
    return this.#kept.size;
  }

  /** @returns null for what OpenSSL does not take: it was checked when it was given, by another release perhaps. */
  of(credentials: TlsCredentials): SecureContext | null {
    const known = this.#kept.get(credentials.key);
    if (known !== undefined) {
      this.#kept.delete(credentials.key);
      this.#kept.set(credentials.key, known);
      return known;
    }
    let context: SecureContext;
    try {
      context = secureContext({ ca: this.ca, ...credentials });
    } catch {
      return null;
    }
    if (this.#kept.size >= MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value ?? '');
    this.#kept.set(credentials.key, context);
    return context;
  }
}

/**
 * TLS 1.2 or newer.
 *
 * @throws Error with OpenSSL's `reason` for what it does not take
 */
export function secureContext({
  ca,
  certificate,
  privateKey,
}: Partial<Record<'certificate' | 'privateKey', string>> & {
  ca?: string | string[] | undefined;
}): SecureContext {
  return createSecureContext({
    minVersion: 'TLSv1.2',
    ...(ca === undefined ? {} : { ca }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(privateKey === undefined ? {} : { key: privateKey }),
  });
}
