import { Injectable } from '@nestjs/common';
import { KeysService } from '../keys/keys.service.js';
import { PortalTokensService } from '../portal-tokens/portal-tokens.service.js';
import type { Caller, Origin } from './caller.js';
import type { Credential } from './credential.js';
import { CredentialChecks } from './credential-checks.js';
import { OidcTokens } from './oidc-tokens.js';

/** Finds who is calling, by whichever kind of credential: an API key, a portal token, or a token of the issuer. */
@Injectable()
export class Authenticator {
  constructor(
    private readonly checks: CredentialChecks,
    private readonly keys: KeysService,
    private readonly portalTokens: PortalTokensService,
    private readonly oidcTokens: OidcTokens,
  ) {}

  /**
   * @returns null for a credential that is not good
   * @throws Problem `too_many_failed_attempts`, `identity_provider_unavailable`, `unauthenticated`
   */
  authenticate(token: string, origin: Origin): Promise<Caller | null> {
    return this.checks.check(token, origin.ip, (credential) => this.find(credential, origin));
  }

  private find(credential: Credential, origin: Origin): Promise<Caller | null> {
    if (credential.text.startsWith('phk_')) return this.keys.authenticate(credential, origin);
    if (this.portalTokens.recognises(credential.text))
      return this.portalTokens.authenticate(credential, origin);
    return this.oidcTokens.authenticate(credential, origin);
  }
}
