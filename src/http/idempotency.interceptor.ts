import { createHash } from 'node:crypto';
import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { from, lastValueFrom, type Observable } from 'rxjs';
import { Problem } from '../common/problems.js';
import { Database } from '../database/database.js';
import { KeyRing } from '../secrets/key-ring.js';
import { SEALED_COLUMNS, sealContext } from '../secrets/sealed-columns.js';

/** A request that was cut off by a crash frees its key after this long. */
const LOCK_SECONDS = 60;
const KEPT_HOURS = 24;

interface StoredKey {
  fingerprint: Buffer;
  sealed_answer: Buffer | null;
  locked: boolean;
}

interface StoredAnswer {
  status: number;
  body: unknown;
}

/** Of a CloudEvent in binary mode the body is but the data. */
const attributesIn = (headers: FastifyRequest['headers']): string =>
  Object.entries(headers)
    .filter(([name]) => name.startsWith('ce-'))
    .map(([name, value]) => `${name}: ${String(value)}\n`)
    .sort()
    .join('');

/**
 * `Idempotency-Key` on writes (draft-ietf-httpapi-idempotency-key-header): the first answer again for the same
 * request, 422 for another request, 409 while the first is running. Only successes are kept, so a mended request may
 * use its key again. Answers are encrypted, since they may hold a secret that is shown once.
 */
@Injectable()
export class IdempotencyInterceptor implements NestInterceptor {
  constructor(
    private readonly database: Database,
    private readonly keyRing: KeyRing,
  ) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const key = request.headers['idempotency-key'];
    if (key === undefined || request.method === 'GET' || request.method === 'HEAD') return next.handle();
    // Whoever has no key of ours has no answer to be kept for, and may not ask for what is kept for others.
    if (!request.caller) return next.handle();
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    return from(this.once(key, request, reply, next));
  }

  private async once(
    key: string | string[],
    request: FastifyRequest,
    reply: FastifyReply,
    next: CallHandler,
  ): Promise<unknown> {
    if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
      throw new Problem(
        'validation_failed',
        '`Idempotency-Key` must be 1 to 255 printable ASCII characters.',
      );
    }
    const owner = request.caller?.accountId ?? 'operator';
    const fingerprint = createHash('sha256')
      .update(`${request.method} ${request.url}\n${attributesIn(request.headers)}${request.bodyText ?? ''}`)
      .digest();
    const stored = await this.claim(owner, key, fingerprint);
    if (stored) return this.replay(stored, fingerprint, owner, key, reply);
    try {
      const body: unknown = await lastValueFrom(next.handle(), { defaultValue: undefined });
      const answer: StoredAnswer = { status: reply.statusCode, body };
      await this.database.prepared(
        'keep_answer',
        'UPDATE idempotency_keys SET sealed_answer = $3, locked_until = now() WHERE owner = $1 AND key = $2',
        [
          owner,
          key,
          this.keyRing.seal(JSON.stringify(answer), sealContext(SEALED_COLUMNS.keptAnswer, owner, key)),
        ],
      );
      return body;
    } catch (error) {
      await this.database
        .prepared(
          'free_key',
          'DELETE FROM idempotency_keys WHERE owner = $1 AND key = $2 AND sealed_answer IS NULL',
          [owner, key],
        )
        // The lock ends by itself; the caller is to see the first error.
        .catch(() => undefined);
      throw error;
    }
  }

  /** @returns null when the key is ours to use, otherwise what it holds */
  private async claim(owner: string, key: string, fingerprint: Buffer): Promise<StoredKey | null> {
    const claimed = await this.database.prepared(
      'claim_key',
      `INSERT INTO idempotency_keys AS k (owner, key, fingerprint, locked_until)
        VALUES ($1, $2, $3, now() + interval '${LOCK_SECONDS} seconds')
        ON CONFLICT (owner, key) DO UPDATE SET fingerprint = excluded.fingerprint, created_at = now(),
          locked_until = excluded.locked_until, sealed_answer = NULL
        WHERE (k.sealed_answer IS NULL AND k.locked_until <= now())
           OR k.created_at < now() - interval '${KEPT_HOURS} hours'
        RETURNING 1`,
      [owner, key, fingerprint],
    );
    if (claimed.length > 0) return null;
    const [stored] = await this.database.prepared<StoredKey>(
      'read_key',
      'SELECT fingerprint, sealed_answer, locked_until > now() AS locked FROM idempotency_keys WHERE owner = $1 AND key = $2',
      [owner, key],
    );
    return stored ?? { fingerprint, sealed_answer: null, locked: true };
  }

  private replay(
    stored: StoredKey,
    fingerprint: Buffer,
    owner: string,
    key: string,
    reply: FastifyReply,
  ): unknown {
    if (!stored.fingerprint.equals(fingerprint)) {
      throw new Problem('idempotency_key_reused', 'This `Idempotency-Key` was used for another request.');
    }
    if (!stored.sealed_answer) {
      throw new Problem('idempotency_key_in_use', 'The first request with this key is still running.', {
        retryAfterSeconds: 1,
      });
    }
    const answer = JSON.parse(
      this.keyRing.open(stored.sealed_answer, sealContext(SEALED_COLUMNS.keptAnswer, owner, key)),
    ) as StoredAnswer;
    void reply.status(answer.status).header('idempotent-replayed', 'true');
    return answer.body;
  }
}
