import { createHash } from 'node:crypto';
import {
  type CallHandler,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
} from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { from, lastValueFrom, type Observable } from 'rxjs';
import { Problem } from '../common/problems.js';
import { Database } from '../database/database.js';
import { LOGGER } from '../logging/logger.js';
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

/** What makes a request the same when it is sent again. */
export interface Once {
  seed: string;
  /** When it was first sent, unix milliseconds. */
  atMs: number;
  /** Whether it is not known what came of it before. */
  again: boolean;
}

declare module 'fastify' {
  interface FastifyRequest {
    once?: Once;
  }
}

interface Claim {
  at: Date;
  again: boolean;
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
    @Inject(LOGGER) private readonly logger: Logger,
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
    const claimed = await this.claim(owner, key, fingerprint);
    if ('sealed_answer' in claimed) return this.replay(claimed, fingerprint, owner, key, reply);
    request.once = { seed: `${owner} ${key}`, atMs: claimed.at.getTime(), again: claimed.again };
    let body: unknown;
    try {
      body = await lastValueFrom(next.handle(), { defaultValue: undefined });
    } catch (error) {
      await this.free(owner, key, fingerprint, error instanceof Problem && !claimed.again);
      throw error;
    }
    await this.keep(owner, key, fingerprint, { status: reply.statusCode, body });
    return body;
  }

  private async keep(owner: string, key: string, fingerprint: Buffer, answer: StoredAnswer): Promise<void> {
    const sealed = this.keyRing.seal(
      JSON.stringify(answer),
      sealContext(SEALED_COLUMNS.keptAnswer, owner, key),
    );
    try {
      await this.database.prepared(
        'keep_answer',
        `UPDATE idempotency_keys SET sealed_answer = $4, locked_until = now()
          WHERE owner = $1 AND key = $2 AND fingerprint = $3`,
        [owner, key, fingerprint, sealed],
      );
    } catch (error) {
      // It is done, and the caller is to hear so.
      this.logger.warn({ err: error }, 'an answer could not be kept for its idempotency key');
    }
  }

  /** A key of which nothing has come is forgotten. Where it is not known what has come of it, its next use is `again`. */
  private async free(owner: string, key: string, fingerprint: Buffer, isNothingDone: boolean): Promise<void> {
    const which = 'owner = $1 AND key = $2 AND fingerprint = $3 AND sealed_answer IS NULL';
    await this.database
      .prepared(
        isNothingDone ? 'forget_key' : 'free_key',
        isNothingDone
          ? `DELETE FROM idempotency_keys WHERE ${which}`
          : `UPDATE idempotency_keys SET locked_until = now() WHERE ${which}`,
        [owner, key, fingerprint],
      )
      // The lock ends by itself; the caller is to see the first error.
      .catch(() => undefined);
  }

  /** @returns a claim when the key is ours to use, otherwise what it holds */
  private async claim(owner: string, key: string, fingerprint: Buffer): Promise<Claim | StoredKey> {
    const [claim] = await this.database.prepared<Claim>(
      'claim_key',
      `INSERT INTO idempotency_keys AS k (owner, key, fingerprint, locked_until)
        VALUES ($1, $2, $3, now() + interval '${LOCK_SECONDS} seconds')
        ON CONFLICT (owner, key) DO UPDATE SET fingerprint = excluded.fingerprint,
          created_at = CASE WHEN k.fingerprint = excluded.fingerprint AND k.created_at >= now() - interval '${KEPT_HOURS} hours'
            THEN k.created_at ELSE now() END,
          locked_until = excluded.locked_until, sealed_answer = NULL
        WHERE (k.sealed_answer IS NULL AND k.locked_until <= now())
           OR k.created_at < now() - interval '${KEPT_HOURS} hours'
        RETURNING created_at AS at, created_at <> now() AS again`,
      [owner, key, fingerprint],
    );
    if (claim) return claim;
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
