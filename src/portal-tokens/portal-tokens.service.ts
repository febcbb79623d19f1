import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { accountExists } from '../accounts/account-exists.js';
import { AuditService } from '../audit/audit.service.js';
import { changesBetween } from '../audit/changes.js';
import type { Caller, Origin } from '../auth/caller.js';
import { type Credential, hashOf } from '../auth/credential.js';
import { CredentialChecks } from '../auth/credential-checks.js';
import { PORTAL_SCOPES } from '../auth/scopes.js';
import { fromId, toId, uuidV7 } from '../common/ids.js';
import { notFound, Problem } from '../common/problems.js';
import { Database } from '../database/database.js';
import { KeyRing } from '../secrets/key-ring.js';
import { looksLikePortalToken, readPortalToken, signPortalToken } from './portal-jwt.js';
import {
  CODE_SECONDS,
  type CreatePortalTokenBody,
  type ExchangeBody,
  type PortalToken,
  type PortalTokenMade,
} from './portal-tokens.schema.js';

const CODE_PREFIX = 'ptc_';

type PortalScope = (typeof PORTAL_SCOPES)[number];

interface TokenRow {
  id: string;
  account_id: string;
  scopes: string[];
  expires_at: Date;
}

/**
 * Tokens of an hour at most, for the page on which a customer sees to his own endpoints. The provider's server makes one
 * with its key and hands the page a code, `ptc_` and 32 random bytes in base64url, which is kept as its SHA-256 and
 * exchanged once.
 */
@Injectable()
export class PortalTokensService {
  constructor(
    private readonly database: Database,
    private readonly keyRing: KeyRing,
    private readonly checks: CredentialChecks,
    private readonly audit: AuditService,
  ) {}

  /** @throws Problem `forbidden` when it would grant what the caller's key lacks */
  async create(caller: Caller, accountId: string, body: CreatePortalTokenBody): Promise<PortalTokenMade> {
    const scopes = body.scopes ?? PORTAL_SCOPES.filter((scope) => caller.scopes.has(scope));
    const excess = scopes.filter((scope) => !caller.scopes.has(scope));
    if (excess.length > 0)
      throw new Problem('forbidden', `A key cannot grant what it lacks: ${excess.join(', ')}.`);
    if (scopes.length === 0) throw new Problem('forbidden', 'The key has no scope that a portal may have.');
    if (!(await accountExists(this.database, accountId))) throw notFound('account');
    const now = new Date();
    const expiresAt = earlier(after(now, body.expiresInSeconds), caller.expiresAt);
    const codeExpiresAt = earlier(after(now, CODE_SECONDS), expiresAt);
    const code = `${CODE_PREFIX}${randomBytes(32).toString('base64url')}`;
    const id = uuidV7(now.getTime());
    await this.database.transaction(async (client) => {
      await client.query(
        `INSERT INTO portal_tokens (id, account_id, key_id, scopes, code_hash, code_expires_at, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
        [
          id,
          accountId,
          fromId('key', caller.keyId),
          [...new Set(scopes)],
          hashOf(code),
          codeExpiresAt,
          now,
          expiresAt,
        ],
      );
      await this.audit.record(client, caller, {
        accountId,
        action: 'portal_token.create',
        resourceId: toId('token', id),
        changes: changesBetween(null, { scopes: [...new Set(scopes)], expiresAt: expiresAt.toISOString() }),
      });
    });
    return {
      id: toId('token', id),
      accountId: toId('account', accountId),
      scopes: [...new Set(scopes)],
      code,
      codeExpiresAt: codeExpiresAt.toISOString(),
      exchangePath: '/v1/portal/exchange',
      expiresAt: expiresAt.toISOString(),
    };
  }

  /** @throws Problem `portal_code_invalid`, `too_many_failed_attempts` */
  async exchange(origin: Origin, { code }: ExchangeBody): Promise<PortalToken> {
    const row = await this.checks.check(code, origin.ip, (credential) => this.useUp(credential, origin));
    if (!row) throw new Problem('portal_code_invalid', 'The code is unknown, used or expired.');
    const [id, accountId] = [toId('token', row.id), toId('account', row.account_id)];
    const scopes = portalScopesOf(row.scopes);
    const token = await signPortalToken(
      this.keyRing,
      { id, accountId },
      { scopes, issuedAt: new Date(), expiresAt: row.expires_at },
    );
    return { id, accountId, scopes, token, expiresAt: row.expires_at.toISOString() };
  }

  async revoke(caller: Caller, accountId: string, id: string): Promise<void> {
    await this.database.transaction(async (client) => {
      const locked = await client.query<{ revoked_at: Date | null }>(
        'SELECT revoked_at FROM portal_tokens WHERE id = $1 AND account_id = $2 FOR UPDATE',
        [id, accountId],
      );
      const [before] = locked.rows;
      if (!before) throw notFound('token');
      const revokedAt = before.revoked_at ?? new Date();
      await client.query('UPDATE portal_tokens SET revoked_at = $2 WHERE id = $1', [id, revokedAt]);
      await this.audit.record(client, caller, {
        accountId,
        action: 'portal_token.revoke',
        resourceId: toId('token', id),
        changes: changesBetween(
          { revokedAt: before.revoked_at?.toISOString() ?? null },
          { revokedAt: revokedAt.toISOString() },
        ),
      });
    });
  }

  recognises(text: string): boolean {
    return looksLikePortalToken(text);
  }

  /**
   * @returns null for a token that is forged or revoked, or whose key is
   * @throws Problem `unauthenticated` for one whose time is over, which is no guess
   */
  async authenticate({ text }: Credential, origin: Origin): Promise<Caller | null> {
    const claims = await readPortalToken(this.keyRing, text, new Date());
    if (claims === 'expired') {
      throw new Problem('unauthenticated', 'The portal token has expired.', {
        challenge: 'Bearer error="invalid_token"',
      });
    }
    const id = claims && fromId('token', claims.id);
    const accountId = claims && fromId('account', claims.accountId);
    if (id === null || accountId === null) return null;
    const [row] = await this.database.prepared<TokenRow>(
      'portal_caller',
      `SELECT id, account_id, scopes, expires_at FROM portal_tokens t
        WHERE id = $1 AND account_id = $2 AND exchanged_at IS NOT NULL AND expires_at > now() AND ${STANDS}`,
      [id, accountId],
    );
    return row ? callerOf(row, origin) : null;
  }

  /** One statement: of two that come at once, the second waits for the first and then finds the code used. */
  private async useUp({ text, hash }: Credential, origin: Origin): Promise<TokenRow | null> {
    if (!text.startsWith(CODE_PREFIX)) return null;
    return this.database.transaction(async (client) => {
      const { rows } = await client.query<TokenRow>(
        `UPDATE portal_tokens t SET exchanged_at = now()
        WHERE code_hash = $1 AND exchanged_at IS NULL AND code_expires_at > now() AND ${STANDS}
        RETURNING id, account_id, scopes, expires_at`,
        [hash],
      );
      const [row] = rows;
      if (!row) return null;
      await this.audit.record(client, callerOf(row, origin), {
        accountId: row.account_id,
        action: 'portal_token.exchange',
        resourceId: toId('token', row.id),
        changes: {},
      });
      return row;
    });
  }
}

/** Not revoked, and neither is the key that made it. The root key and tokens of an issuer have no row. */
const STANDS = `revoked_at IS NULL AND (key_id IS NULL OR EXISTS (
  SELECT 1 FROM api_keys k WHERE k.id = t.key_id AND k.revoked_at IS NULL))`;

const callerOf = (row: TokenRow, origin: Origin): Caller => ({
  keyId: toId('token', row.id),
  accountId: row.account_id,
  scopes: new Set(portalScopesOf(row.scopes)),
  expiresAt: row.expires_at,
  ...origin,
});

const portalScopesOf = (names: string[]): PortalScope[] =>
  PORTAL_SCOPES.filter((scope) => names.includes(scope));

const after = (moment: Date, seconds: number): Date => new Date(moment.getTime() + seconds * 1000);
const earlier = (one: Date, other: Date | null): Date => (other && other < one ? other : one);
