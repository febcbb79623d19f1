import { Injectable } from '@nestjs/common';
import { type Credentials, NO_CREDENTIALS } from '../credentials/credentials.js';
import { KeyRing } from '../secrets/key-ring.js';
import { SEALED_COLUMNS, sealContext } from '../secrets/sealed-columns.js';

/** What a lookup keeps encrypted, bound to its row. */
@Injectable()
export class LookupSeals {
  constructor(private readonly keyRing: KeyRing) {}

  seal(name: string, credentials: Credentials): Buffer | null {
    if (credentials.auth.type === 'none') return null;
    return this.keyRing.seal(
      JSON.stringify(credentials),
      sealContext(SEALED_COLUMNS.lookupCredentials, name),
    );
  }

  open(name: string, sealed: Buffer | null): Credentials {
    if (sealed === null) return NO_CREDENTIALS;
    const text = this.keyRing.open(sealed, sealContext(SEALED_COLUMNS.lookupCredentials, name));
    return JSON.parse(text) as Credentials;
  }
}
