import { randomBytes, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { AuditService } from '../audit/audit.service.js';
import { changesBetween } from '../audit/changes.js';
import type { Caller, Origin } from '../auth/caller.js';
import { type Credential, hashOf } from '../auth/credential.js';
import { ALL_SCOPES, scopesOf } from '../auth/scopes.js';
import { toId, uuidV7 } from '../common/ids.js';
import { decodeCursor, type Page, toPage } from '../common/cursor.js';
import { MicroBatch } from '../common/micro-batch.js';
import { notFound, Problem } from '../common/problems.js';
import type { ListQuery } from '../common/schemas.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import type { Settings } from '../config/settings.js';
import { Database } from '../database/database.js';
import { ApiKeyEntity } from './api-key.entity.js';
import type { CreateKeyBody, KeyShown, KeyWithSecret } from './keys.schema.js';

/** A key's last use is written at most this often, so that reading the log does not write to it. */
const LAST_USED_EVERY_MS = 60_000;

interface KnownKey {
  id: string;
  account_id: string | null;
  hash: Buffer;
  scopes: string[];
  expires_at: Date | null;
  last_used_at: Date | null;
}

/** API keys: `phk_` and 32 random bytes in base64url, of which only the SHA-256 is kept. */
@Injectable()
export class KeysService implements OnApplicationShutdown {
  private readonly rootHash: Buffer | null;
  private readonly lookups: MicroBatch<Buffer, KnownKey | null>;
  private readonly touched = new Map<string, number>();
  private touching: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.rootHash = settings.ROOT_KEY === undefined ? null : hashOf(settings.ROOT_KEY);
    this.lookups = new MicroBatch((hashes) => this.lookUp(hashes), { maxItems: 200, concurrency: 4 });
  }

  /** @returns null for a key that is unknown, revoked or expired */
  async authenticate({ text, hash }: Credential, origin: Origin): Promise<Caller | null> {
    if (!text.startsWith('phk_') || text.length > 256) return null;
    if (this.rootHash && timingSafeEqual(hash, this.rootHash)) {
      return { keyId: 'root', accountId: null, scopes: new Set(ALL_SCOPES), expiresAt: null, ...origin };
    }
    const known = await this.lookups.add(hash);
    // The index finds by hash; the comparison that decides takes the same time wherever the bytes differ.
    if (!known || !timingSafeEqual(known.hash, hash)) return null;
    if (known.expires_at && known.expires_at.getTime() <= Date.now()) return null;
    this.touch(known);
    return {
      keyId: toId('key', known.id),
      accountId: known.account_id,
      scopes: new Set(scopesOf(known.scopes)),
      expiresAt: known.expires_at,
      ...origin,
    };
  }

  /**
   * @throws Problem `forbidden` when it would grant what the caller's key lacks
   */
  async create(caller: Caller, accountId: string | null, body: CreateKeyBody): Promise<KeyWithSecret> {
    const scopes = body.scopes ?? ALL_SCOPES.filter((scope) => caller.scopes.has(scope));
    const excess = scopes.filter((scope) => !caller.scopes.has(scope));
    if (excess.length > 0)
      throw new Problem('forbidden', `A key cannot grant what it lacks: ${excess.join(', ')}.`);
    const expiresAt = body.expiresAt === undefined ? caller.expiresAt : new Date(body.expiresAt);
    if (caller.expiresAt && expiresAt && expiresAt > caller.expiresAt) {
      throw new Problem(
        'forbidden',
        `A key cannot outlive the one that makes it (${caller.expiresAt.toISOString()}).`,
      );
    }
    const secret = `phk_${randomBytes(32).toString('base64url')}`;
    const now = new Date();
    const key: ApiKeyEntity = {
      id: uuidV7(now.getTime()),
      accountId,
      name: body.name,
      hash: hashOf(secret),
      hint: secret.slice(0, 8),
      scopes: [...new Set(scopes)],
      createdAt: now,
      expiresAt,
      revokedAt: null,
      lastUsedAt: null,
    };
    await this.database.transaction(async (client) => {
      if (accountId !== null) {
        const account = await client.query('SELECT 1 FROM accounts WHERE id = $1 FOR KEY SHARE', [accountId]);
        if (account.rowCount === 0) throw notFound('account');
      }
      await client.query(
        `INSERT INTO api_keys (id, account_id, name, hash, hint, scopes, created_at, expires_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
        [key.id, accountId, key.name, key.hash, key.hint, key.scopes, now, expiresAt],
      );
      await this.audit.record(client, caller, {
        accountId,
        action: 'key.create',
        resourceId: toId('key', key.id),
        changes: changesBetween(null, audited(key)),
      });
    });
    return { ...show(key), secret };
  }

  async list(_caller: Caller, accountId: string | null, query: ListQuery): Promise<Page<KeyShown>> {
    const builder = this.repository
      .createQueryBuilder('key')
      .where(accountId === null ? 'key.account_id IS NULL' : 'key.account_id = :accountId', { accountId })
      .orderBy('key.id', 'DESC')
      .limit(query.limit + 1);
    if (query.cursor !== undefined)
      builder.andWhere('key.id < :after', { after: decodeCursor('keys', query.cursor) });
    return toPage('keys', await builder.getMany(), query.limit, show);
  }

  /** A key that is revoked already stays as it is. */
  async revoke(caller: Caller, accountId: string | null, id: string): Promise<void> {
    await this.database.transaction(async (client) => {
      const columns = this.database.columnsOf(ApiKeyEntity);
      const locked = await client.query<ApiKeyEntity>(
        `SELECT ${columns} FROM api_keys WHERE id = $1 AND account_id IS NOT DISTINCT FROM $2 FOR UPDATE`,
        [id, accountId],
      );
      const [before] = locked.rows;
      if (!before) throw notFound('key');
      const revoked = await client.query<ApiKeyEntity>(
        `UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING ${columns}`,
        [id],
      );
      const [after] = revoked.rows;
      if (!after) throw new Error('a locked key is gone');
      await this.audit.record(client, caller, {
        accountId,
        action: 'key.revoke',
        resourceId: toId('key', id),
        changes: changesBetween(audited(before), audited(after)),
      });
    });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.touching;
  }

  private get repository() {
    return this.database.source.getRepository(ApiKeyEntity);
  }

  private async lookUp(hashes: Buffer[]): Promise<(KnownKey | null)[]> {
    const rows = await this.database.prepared<KnownKey>(
      'authenticate',
      `SELECT id, account_id, hash, scopes, expires_at, last_used_at
         FROM api_keys WHERE hash = ANY($1::bytea[]) AND revoked_at IS NULL`,
      [hashes],
    );
    const byHash = new Map(rows.map((row) => [row.hash.toString('hex'), row]));
    return hashes.map((hash) => byHash.get(hash.toString('hex')) ?? null);
  }

  private touch(key: KnownKey): void {
    const now = Date.now();
    const last = Math.max(this.touched.get(key.id) ?? 0, key.last_used_at?.getTime() ?? 0);
    if (now - last < LAST_USED_EVERY_MS) return;
    this.touched.set(key.id, now);
    this.touching = this.database
      .prepared('touch_key', 'UPDATE api_keys SET last_used_at = now() WHERE id = $1', [key.id])
      // Knowing when a key was last used is not worth failing a request for.
      .catch(() => this.touched.delete(key.id));
  }
}

function show(key: ApiKeyEntity): KeyShown {
  return {
    id: toId('key', key.id),
    accountId: key.accountId === null ? null : toId('account', key.accountId),
    name: key.name,
    hint: `${key.hint}…`,
    scopes: scopesOf(key.scopes),
    createdAt: key.createdAt.toISOString(),
    expiresAt: key.expiresAt?.toISOString() ?? null,
    revokedAt: key.revokedAt?.toISOString() ?? null,
    lastUsedAt: key.lastUsedAt?.toISOString() ?? null,
  };
}

/** The audit log names the key itself beside what changed. */
function audited(key: ApiKeyEntity): Record<string, unknown> {
  const { name, hint, scopes, expiresAt, revokedAt } = show(key);
  return { name, hint, scopes, expiresAt, revokedAt };
}
