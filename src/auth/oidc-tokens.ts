import { Inject, Injectable } from '@nestjs/common';
import { errors, jwtVerify, type JWTPayload } from 'jose';
import type { Logger } from 'pino';
import { accountExists } from '../accounts/account-exists.js';
import { Problem } from '../common/problems.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Database } from '../database/database.js';
import { LOGGER } from '../logging/logger.js';
import type { Caller, Origin } from './caller.js';
import type { Credential } from './credential.js';
import { IssuerKeys } from './issuer-keys.js';
import { type ClaimNames, identityOf } from './oidc-claims.js';

/** No symmetric one: the issuer's public key would be its secret (RFC 8725 §2.1). */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];
const CLOCK_TOLERANCE_SECONDS = 5;
const MAX_CHARACTERS = 8 * 1024;
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** Bearer tokens of one configured OpenID Connect issuer; without one, none is taken. */
@Injectable()
export class OidcTokens {
  private readonly trusted: { issuer: string; audience: string; keys: IssuerKeys } | null;
  private readonly names: ClaimNames;

  constructor(
    private readonly database: Database,
    @Inject(SETTINGS_TOKEN) settings: Settings,
    @Inject(LOGGER) logger: Logger,
  ) {
    const { OIDC_ISSUER: issuer, OIDC_AUDIENCE: audience } = settings;
    const keys = (of: string) =>
      new IssuerKeys(
        of,
        () => performance.now(),
        (error) => logger.warn({ err: error, issuer: of }, 'the identity provider did not give its keys'),
      );
    this.trusted =
      issuer === undefined || audience === undefined ? null : { issuer, audience, keys: keys(issuer) };
    this.names = { scope: settings.OIDC_SCOPE_CLAIM, account: settings.OIDC_ACCOUNT_CLAIM };
  }

  /**
   * @returns null for a token that is not the issuer's or not for us
   * @throws Problem `identity_provider_unavailable`; `unauthenticated` for a token whose time is over, which is no guess
   */
  async authenticate({ text }: Credential, origin: Origin): Promise<Caller | null> {
    if (text.length > MAX_CHARACTERS || !JWT.test(text)) return null;
    const claims = await this.verify(text);
    const identity = claims && identityOf(claims, this.names);
    if (!identity) return null;
    const { subject, accountId, scopes, expiresAt } = identity;
    if (accountId !== null && !(await accountExists(this.database, accountId))) return null;
    return { keyId: `oidc:${subject}`, accountId, scopes: new Set(scopes), expiresAt, ...origin };
  }

  private async verify(text: string): Promise<JWTPayload | null> {
    if (!this.trusted) return null;
    const { issuer, audience, keys } = this.trusted;
    try {
      const { payload } = await jwtVerify(text, (header, token) => keys.find(header, token), {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
        requiredClaims: ['exp', 'sub'],
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JWTExpired) {
        throw new Problem('unauthenticated', 'The token has expired.', {
          challenge: 'Bearer error="invalid_token"',
        });
      }
      if (error instanceof Problem) throw error;
      // A key of the issuer that cannot be used, such as a short RSA one, is none; jose has no class for that.
      if (error instanceof errors.JOSEError || error instanceof TypeError) return null;
      throw error;
    }
  }
}
