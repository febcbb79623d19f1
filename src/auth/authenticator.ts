import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { KeysService } from '../keys/keys.service.js';
import { PortalTokensService } from '../portal-tokens/portal-tokens.service.js';
import type { Caller, Origin } from './caller.js';
import { unauthenticated } from './challenge.js';
import type { Credential } from './credential.js';
import { CredentialChecks } from './credential-checks.js';
import { OidcTokens } from './oidc-tokens.js';
import { originOf } from './origin.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Whose it is, for whoever asks next. */
    identified?: Promise<Caller>;
  }
}

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
   * The credential of a request is looked up once.
   *
   * @throws Problem `unauthenticated`, `too_many_failed_attempts`, `identity_provider_unavailable`
   */
  identify(request: FastifyRequest): Promise<Caller> {
    return (request.identified ??= this.authenticate(request));
  }

  private async authenticate(request: FastifyRequest): Promise<Caller> {
    const [, token] = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '') ?? [];
    if (token === undefined) throw unauthenticated(false, request.query);
    const origin = originOf(request);
    const caller = await this.checks.check(token, origin.ip, (credential) => this.find(credential, origin));
    if (!caller) throw unauthenticated(true, request.query);
    return caller;
  }

  private find(credential: Credential, origin: Origin): Promise<Caller | null> {
    if (credential.text.startsWith('phk_')) return this.keys.authenticate(credential, origin);
    if (this.portalTokens.recognises(credential.text))
      return this.portalTokens.authenticate(credential, origin);
    return this.oidcTokens.authenticate(credential, origin);
  }
}
