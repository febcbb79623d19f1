import { Injectable } from '@nestjs/common';
import { factsOf } from '../credentials/certificates.js';
import {
  certificatesEnd,
  changeCredentials,
  checkFits,
  type Credentials,
  type CredentialsSent,
  maskAuth,
  NO_CREDENTIALS,
} from '../credentials/credentials.js';
import type { Auth } from '../credentials/credentials.schema.js';
import { type Signing, STANDARD } from '../signing/schemes.js';
import { EndpointSeals } from './endpoint-seals.js';
import type { EndpointShown } from './endpoints.schema.js';

/** What of an endpoint the credentials share their place with. */
interface Surroundings {
  url: string;
  headers: Readonly<Record<string, string>>;
  signing: Signing | null;
}

interface Columns {
  sealedAuth: Buffer | null;
  certificateExpiresAt: Date | null;
}

/** What an endpoint's receiver knows Posthorn by, beside the signature. */
@Injectable()
export class EndpointCredentialsService {
  constructor(private readonly seals: EndpointSeals) {}

  /**
   * What is to be stored after a change of the credentials, or of what they have to fit.
   *
   * @param stored null for a new endpoint
   * @param surroundings as they will be
   * @throws Problem `validation_failed`
   */
  change(
    endpointId: string,
    stored: Buffer | null,
    sent: CredentialsSent,
    { url, headers, signing }: Surroundings,
  ): Columns {
    const before = this.open(endpointId, stored);
    const credentials = changeCredentials(before, sent, Date.now());
    const signatureHeader = (signing ?? STANDARD).header;
    checkFits(credentials, { url, headers: Object.keys(headers), signatureHeader }, sent.auth !== undefined);
    const isUnchanged = credentials.auth === before.auth && credentials.ca === before.ca;
    return {
      sealedAuth: isUnchanged ? stored : this.seals.sealCredentials(endpointId, credentials),
      certificateExpiresAt: certificatesEnd(credentials),
    };
  }

  show({
    id,
    sealedAuth,
    certificateExpiresAt,
  }: { id: string } & Columns): Pick<
    EndpointShown,
    'auth' | 'tls' | 'certificates' | 'certificateExpiresAt'
  > {
    const { auth, ca } = this.open(id, sealedAuth);
    const shown = (use: 'client' | 'authority', pem: string) =>
      factsOf(pem).map((facts) => ({ use, ...facts, expiresAt: facts.expiresAt.toISOString() }));
    return {
      auth: maskAuth(auth),
      tls: ca === null ? null : { ca },
      certificates: [
        ...(auth.type === 'mtls' ? shown('client', auth.certificate) : []),
        ...(ca === null ? [] : shown('authority', ca)),
      ],
      certificateExpiresAt: certificateExpiresAt?.toISOString() ?? null,
    };
  }

  /** Not masked. */
  authOf({ id, sealedAuth }: { id: string; sealedAuth: Buffer | null }): Auth {
    return this.open(id, sealedAuth).auth;
  }

  private open(endpointId: string, sealed: Buffer | null): Credentials {
    return sealed === null ? NO_CREDENTIALS : this.seals.openCredentials(endpointId, sealed);
  }
}
