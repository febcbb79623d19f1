import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { accountExists } from '../accounts/account-exists.js';
import type { Caller } from '../auth/caller.js';
import { ALL_SCOPES, type Scope } from '../auth/scopes.js';
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
  scopes: Scope[];
  expires_at: Date | null;
  last_used_at: Date | null;
}

const hashOf = (key: string): Buffer => createHash('sha256').update(key).digest();

/** API keys: `phk_` and 32 random bytes in base64url, of which only the SHA-256 is kept. */
@Injectable()
export class KeysService implements OnApplicationShutdown {
  private readonly rootHash: Buffer | null;
  private readonly lookups: MicroBatch<Buffer, KnownKey | null>;
  private readonly touched = new Map<string, number>();
  private touching: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly database: Database,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.rootHash = settings.ROOT_KEY === undefined ? null : hashOf(settings.ROOT_KEY);
    this.lookups = new MicroBatch((hashes) => this.lookUp(hashes), { maxItems: 200, concurrency: 4 });
  }

  /** @returns null for a key that is unknown, revoked or expired */
  async authenticate(key: string, requestId: string): Promise<Caller | null> {
    if (!key.startsWith('phk_') || key.length > 256) return null;
    const hash = hashOf(key);
    if (this.rootHash && timingSafeEqual(hash, this.rootHash)) {
      return { keyId: 'root', accountId: null, scopes: new Set(ALL_SCOPES), expiresAt: null, requestId };
    }
    const known = await this.lookups.add(hash);
    // The index finds by hash; the comparison that decides takes the same time wherever the bytes differ.
    if (!known || !timingSafeEqual(known.hash, hash)) return null;
    if (known.expires_at && known.expires_at.getTime() <= Date.now()) return null;
    this.touch(known);
    return {
      keyId: toId('key', known.id),
      accountId: known.account_id,
      scopes: new Set(known.scopes),
      expiresAt: known.expires_at,
      requestId,
    };
  }

  /**
   * @param caller null where a person with access to the database makes the key (`posthorn keys create`)
   * @throws Problem `forbidden` when it would grant what the caller's key lacks
   */
  async create(caller: Caller | null, accountId: string | null, body: CreateKeyBody): Promise<KeyWithSecret> {
    const scopes =
      body.scopes ?? (caller ? ALL_SCOPES.filter((scope) => caller.scopes.has(scope)) : ALL_SCOPES);
    const excess = caller ? scopes.filter((scope) => !caller.scopes.has(scope)) : [];
    if (excess.length > 0)
      throw new Problem('forbidden', `A key cannot grant what it lacks: ${excess.join(', ')}.`);
    const expiresAt = body.expiresAt === undefined ? (caller?.expiresAt ?? null) : new Date(body.expiresAt);
    if (caller?.expiresAt && expiresAt && expiresAt > caller.expiresAt) {
      throw new Problem(
        'forbidden',
        `A key cannot outlive the one that makes it (${caller.expiresAt.toISOString()}).`,
      );
    }
    if (accountId !== null && !(await accountExists(this.database, accountId))) throw notFound('account');
    const secret = `phk_${randomBytes(32).toString('base64url')}`;
    const now = new Date();
    const entity = await this.repository.save({
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
    });
    return { ...show(entity), secret };
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

  async revoke(_caller: Caller, accountId: string | null, id: string): Promise<void> {
    const result = await this.repository
      .createQueryBuilder()
      .update()
      .set({ revokedAt: () => 'coalesce(revoked_at, now())' })
      .where('id = :id', { id })
      .andWhere(accountId === null ? 'account_id IS NULL' : 'account_id = :accountId', { accountId })
      .execute();
    if (result.affected === 0) throw notFound('key');
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
    scopes: key.scopes as Scope[],
    createdAt: key.createdAt.toISOString(),
    expiresAt: key.expiresAt?.toISOString() ?? null,
    revokedAt: key.revokedAt?.toISOString() ?? null,
    lastUsedAt: key.lastUsedAt?.toISOString() ?? null,
  };
}
