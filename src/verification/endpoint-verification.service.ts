import { createHash, randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type pg from 'pg';
import { AuditService } from '../audit/audit.service.js';
import type { Caller } from '../auth/caller.js';
import { fromId, toId } from '../common/ids.js';
import { parseUrl } from '../common/parse-url.js';
import { notFound, Problem } from '../common/problems.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Database } from '../database/database.js';
import {
  EndpointSender,
  LIVE_SECRETS,
  REACHABLE_COLUMNS,
  type ReachableEndpoint,
  type Sent,
} from '../endpoints/endpoint-sender.js';
import { AskRoom } from '../endpoints/ask-room.js';
import { Backlog } from '../endpoints/backlog.js';
import { changeBacklog } from '../endpoints/backlog-changes.js';
import { NotificationsService } from '../notifications/notifications.service.js';
import { forgetReservations } from '../pacing/forget-reservations.js';
import { KeyRing, SealBrokenError } from '../secrets/key-ring.js';
import { EndpointWatches } from '../temporal/endpoint-watches.js';
import { allowedRate, judge, nextTryInMs, type Verdict, type Verification } from './judge.js';
import type { VerificationShown } from './verification.schema.js';

const LEAVE_CONTEXT = 'handshake/leave';

/** Whether an endpoint's receiver wants deliveries: asked by the method that the endpoint has, again and again for a day. */
@Injectable()
export class EndpointVerificationService {
  private readonly origin: string;
  private readonly publicUrl: string | undefined;

  constructor(
    private readonly database: Database,
    private readonly watches: EndpointWatches,
    private readonly sender: EndpointSender,
    private readonly backlog: Backlog,
    private readonly room: AskRoom,
    private readonly notifications: NotificationsService,
    private readonly keyRing: KeyRing,
    private readonly audit: AuditService,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    this.origin = settings.WEBHOOK_ORIGIN;
    this.publicUrl = settings.PUBLIC_URL;
  }

  async get(_caller: Caller, accountId: string, endpointId: string): Promise<VerificationShown> {
    const [row] = await this.database.prepared<ShownRow>(
      'show_verification',
      `SELECT e.verification, e.unverified, e.verification_error, v.verified_at, coalesce(v.attempts, 0) AS attempts,
         v.last_attempt_at, v.error_detail, v.review_at
        FROM endpoints e LEFT JOIN endpoint_verifications v ON v.endpoint_id = e.id
        WHERE e.id = $1 AND e.account_id = $2 AND e.deleted_at IS NULL`,
      [endpointId, accountId],
    );
    if (!row) throw notFound('endpoint');
    const { verification_error: code, error_detail: detail } = row;
    return {
      method: row.verification,
      verified: !row.unverified,
      verifiedAt: row.verified_at?.toISOString() ?? null,
      attempts: row.attempts,
      lastAttemptAt: row.last_attempt_at?.toISOString() ?? null,
      nextAttemptAt: row.unverified ? (row.review_at?.toISOString() ?? null) : null,
      error: code === null ? null : { code, detail: detail ?? '' },
    };
  }

  /**
   * Asks now, and for another day from now on where that does not succeed.
   *
   * @throws Problem `verification_not_asked` for an endpoint that needs none
   */
  async verify(caller: Caller, accountId: string, endpointId: string): Promise<VerificationShown> {
    const { method, verified } = await this.get(caller, accountId, endpointId);
    if (method === 'none') throw new Problem('verification_not_asked', 'The endpoint is not to be verified.');
    await this.database.transaction(async (client) => {
      if (!verified) {
        await client.query(
          'UPDATE endpoint_verifications SET started_at = now(), attempts = 0, review_at = now() WHERE endpoint_id = $1',
          [endpointId],
        );
      }
      await this.audit.record(client, caller, {
        accountId,
        action: 'endpoint.verify',
        resourceId: toId('endpoint', endpointId),
        changes: {},
      });
    });
    const endpoint = await this.load(endpointId);
    if (endpoint?.unverified && (await this.try(endpoint)) !== null)
      await this.watches.wake('verification', endpointId);
    return this.get(caller, accountId, endpointId);
  }

  /** What the endpoint-verification workflow calls itself by: asks when it is time. @param id `ep_…` */
  async tryById(id: string): Promise<number | null> {
    const endpointId = fromId('endpoint', id);
    const endpoint = endpointId === null ? undefined : await this.load(endpointId);
    if (!endpoint) return null;
    // Not told once more what the day has come to.
    if (endpoint.wait_ms === null) return null;
    return endpoint.wait_ms > 0 ? endpoint.wait_ms : this.try(endpoint);
  }

  /**
   * A receiver has called the link of a handshake, whenever it liked.
   *
   * @param leave the last part of the link
   * @param perMinute `WebHook-Allowed-Rate`
   * @throws Problem `not_found` for a link that is not ours, or was made for another address than the endpoint has
   */
  async grant(leave: string, perMinute: string | undefined): Promise<{ status: 'granted' }> {
    const link = this.readLeave(leave);
    const endpoint = link && (await this.load(link.endpointId));
    if (!endpoint || digestOf(endpoint.url) !== link.target || endpoint.verification !== 'handshake')
      throw notFound('handshake');
    const perSecond = allowedRate(perMinute);
    if (endpoint.unverified)
      await this.succeed(endpoint, perSecond === undefined ? { ok: true } : { ok: true, perSecond });
    return { status: 'granted' };
  }

  /** @returns milliseconds until the next try; null when there is none */
  private async try(endpoint: VerifiableEndpoint): Promise<number | null> {
    if (!endpoint.unverified || endpoint.verification === 'none') return null;
    const challenge = randomBytes(24).toString('base64url');
    const method = endpoint.verification;
    const result = await this.room.ask(endpoint.account_id, () => this.ask(endpoint, method, challenge));
    if (typeof result === 'number') return result;
    const verdict = judge(endpoint.verification, result, { challenge, origin: this.origin });
    if (!verdict.ok) return this.fail(endpoint, verdict);
    await this.succeed(endpoint, verdict);
    return null;
  }

  private ask(
    endpoint: VerifiableEndpoint,
    method: Exclude<Verification, 'none'>,
    challenge: string,
  ): Promise<Sent> {
    switch (method) {
      case 'handshake':
        return this.sender.askLeave(endpoint, this.callbackOf(endpoint));
      case 'challenge':
        return this.sender.ask(endpoint, 'url_verification', { challenge });
      case 'ping':
        return this.sender.ask(endpoint, 'ping', {});
    }
  }

  /** Where it was given another address meanwhile, nothing is known of that one. */
  private async succeed(
    { endpoint_id: id, url }: VerifiableEndpoint,
    { perSecond }: Extract<Verdict, { ok: true }>,
  ): Promise<void> {
    await this.database.transaction(async (client) => {
      const verified = await client.query<{ held_reason: string | null }>(
        `UPDATE endpoints SET unverified = false, verification_error = NULL,
           rate_per_second = coalesce($3, rate_per_second), rate_burst = CASE WHEN $3::float8 IS NULL THEN rate_burst ELSE 1 END
          WHERE id = $1 AND url = $2 AND unverified AND deleted_at IS NULL RETURNING held_reason`,
        [id, url, perSecond ?? null],
      );
      const [endpoint] = verified.rows;
      if (!endpoint) return;
      await client.query(
        `UPDATE endpoint_verifications SET verified_at = now(), attempts = attempts + 1, last_attempt_at = now(),
           error_detail = NULL, review_at = NULL WHERE endpoint_id = $1`,
        [id],
      );
      if (typeof perSecond === 'number') await forgetReservations(client, id);
      await changeBacklog(client, id, 'state');
    });
    await this.backlog.follow(id);
  }

  private async fail(
    endpoint: VerifiableEndpoint,
    { code, detail }: Extract<Verdict, { ok: false }>,
  ): Promise<number | null> {
    const { endpoint_id: id, account_id: accountId } = endpoint;
    const inMs = await this.database.transaction(async (client) => {
      const failed = await client.query(
        `UPDATE endpoints SET verification_error = $3 WHERE id = $1 AND url = $2 AND unverified`,
        [id, endpoint.url, code],
      );
      if (failed.rowCount === 0) return null;
      const [row] = (
        await client.query<{ attempts: number; started_at: Date; now: Date }>(
          `UPDATE endpoint_verifications SET attempts = attempts + 1, last_attempt_at = now(), error_detail = $2
            WHERE endpoint_id = $1 RETURNING attempts, started_at, now() AS now`,
          [id, detail],
        )
      ).rows;
      const next = row ? nextTryInMs(row.attempts, row.started_at.getTime(), row.now.getTime()) : null;
      await client.query(
        `UPDATE endpoint_verifications SET review_at = now() + $2 * interval '1 ms' WHERE endpoint_id = $1`,
        [id, next],
      );
      if (next === null) await this.tell(client, endpoint, code);
      return next;
    });
    if (inMs === null) await this.notifications.wake(accountId);
    return inMs;
  }

  private async tell(client: pg.PoolClient, endpoint: VerifiableEndpoint, code: string): Promise<void> {
    await this.notifications.add(client, {
      accountId: endpoint.account_id,
      endpointId: endpoint.endpoint_id,
      kind: 'endpoint.verification_failed',
      data: { endpointOrigin: parseUrl(endpoint.url)?.origin ?? null, lastError: code },
    });
  }

  private async load(endpointId: string): Promise<VerifiableEndpoint | undefined> {
    const [row] = await this.database.prepared<VerifiableEndpoint>(
      'load_unverified',
      `SELECT ${REACHABLE_COLUMNS}, e.account_id, e.unverified, s.secrets,
         (extract(epoch FROM v.review_at - now()) * 1000)::float8 AS wait_ms
        FROM endpoints e LEFT JOIN endpoint_verifications v ON v.endpoint_id = e.id CROSS JOIN ${LIVE_SECRETS}
        WHERE e.id = $1 AND e.deleted_at IS NULL`,
      [endpointId],
    );
    return row;
  }

  /** Sealed, so that nothing has to be kept of it and nobody else can make one. */
  private callbackOf({ endpoint_id: endpointId, url }: VerifiableEndpoint): string | null {
    if (this.publicUrl === undefined) return null;
    const leave = this.keyRing.seal(JSON.stringify({ endpointId, target: digestOf(url) }), LEAVE_CONTEXT);
    return `${this.publicUrl.replace(/\/$/, '')}/v1/handshakes/${leave.toString('base64url')}`;
  }

  private readLeave(leave: string): { endpointId: string; target: string } | null {
    try {
      return JSON.parse(this.keyRing.open(Buffer.from(leave, 'base64url'), LEAVE_CONTEXT)) as {
        endpointId: string;
        target: string;
      };
    } catch (error) {
      if (error instanceof SealBrokenError) return null;
      throw error;
    }
  }
}

const digestOf = (url: string): string => createHash('sha256').update(url).digest('base64url');

interface VerifiableEndpoint extends ReachableEndpoint {
  account_id: string;
  verification: Verification;
  unverified: boolean;
  /** Milliseconds until it is to be asked next; null when that is over. */
  wait_ms: number | null;
}

interface ShownRow {
  verification: Verification;
  unverified: boolean;
  verification_error: string | null;
  verified_at: Date | null;
  attempts: number;
  last_attempt_at: Date | null;
  error_detail: string | null;
  review_at: Date | null;
}
