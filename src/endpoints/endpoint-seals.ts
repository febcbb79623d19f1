import type { KeyRing } from '../secrets/key-ring.js';
import type { CustomHeaders } from './custom-headers.js';

/** What an endpoint keeps encrypted, each bound to its own row and column. */
export class EndpointSeals {
  constructor(private readonly keyRing: KeyRing) {}

  sealSecret(secretId: string, secret: string): Buffer {
    return this.keyRing.seal(secret, `endpoint_secrets/sealed/${secretId}`);
  }

  openSecret(secretId: string, sealed: Buffer): string {
    return this.keyRing.open(sealed, `endpoint_secrets/sealed/${secretId}`);
  }

  sealHeaders(endpointId: string, headers: CustomHeaders): Buffer | null {
    if (Object.keys(headers).length === 0) return null;
    return this.keyRing.seal(JSON.stringify(headers), `endpoints/sealed_headers/${endpointId}`);
  }

  openHeaders(endpointId: string, sealed: Buffer | null): CustomHeaders {
    if (sealed === null) return {};
    return JSON.parse(this.keyRing.open(sealed, `endpoints/sealed_headers/${endpointId}`)) as CustomHeaders;
  }
}
