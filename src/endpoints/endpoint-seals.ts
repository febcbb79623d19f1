import type { Credentials } from '../credentials/credentials.js';
import type { KeyRing } from '../secrets/key-ring.js';
import { SEALED_COLUMNS, sealContext } from '../secrets/sealed-columns.js';
import type { CustomHeaders } from './custom-headers.js';

/** What an endpoint keeps encrypted, each bound to its own row and column. */
export class EndpointSeals {
  constructor(private readonly keyRing: KeyRing) {}

  sealSecret(secretId: string, secret: string): Buffer {
    return this.keyRing.seal(secret, sealContext(SEALED_COLUMNS.signingSecret, secretId));
  }

  openSecret(secretId: string, sealed: Buffer): string {
    return this.keyRing.open(sealed, sealContext(SEALED_COLUMNS.signingSecret, secretId));
  }

  sealHeaders(endpointId: string, headers: CustomHeaders): Buffer | null {
    if (Object.keys(headers).length === 0) return null;
    return this.keyRing.seal(JSON.stringify(headers), sealContext(SEALED_COLUMNS.customHeaders, endpointId));
  }

  openHeaders(endpointId: string, sealed: Buffer | null): CustomHeaders {
    if (sealed === null) return {};
    return JSON.parse(
      this.keyRing.open(sealed, sealContext(SEALED_COLUMNS.customHeaders, endpointId)),
    ) as CustomHeaders;
  }

  sealCredentials(endpointId: string, credentials: Credentials): Buffer | null {
    if (credentials.auth.type === 'none' && credentials.ca === null) return null;
    return this.keyRing.seal(
      JSON.stringify(credentials),
      sealContext(SEALED_COLUMNS.credentials, endpointId),
    );
  }

  openCredentials(endpointId: string, sealed: Buffer): Credentials {
    return JSON.parse(
      this.keyRing.open(sealed, sealContext(SEALED_COLUMNS.credentials, endpointId)),
    ) as Credentials;
  }
}
