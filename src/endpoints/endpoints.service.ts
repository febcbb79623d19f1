import { Inject, Injectable } from '@nestjs/common';
import type pg from 'pg';
import type { Caller } from '../auth/caller.js';
import { decodeCursor, type Page, toPage } from '../common/cursor.js';
import { toId, uuidV7 } from '../common/ids.js';
import { priorityLevel, priorityOf } from '../common/priority.js';
import { notFound, Problem } from '../common/problems.js';
import type { ListQuery } from '../common/schemas.js';
import { Database } from '../database/database.js';
import { IN_HAND_SECONDS } from '../dispatch/process-lease.js';
import { Reconciler } from '../dispatch/reconciler.js';
import { STANDARD } from '../signing/schemes.js';
import { DEFAULT_BURST } from '../pacing/limits.js';
import { checkDestination } from '../transport/egress-check.js';
import { EGRESS } from '../transport/egress.token.js';
import type { EgressNetworks } from '../transport/egress-networks.js';
import { maskHeaders, unmaskHeaders } from './custom-headers.js';
import { EndpointEntity } from './endpoint.entity.js';
import type {
  CreateEndpointBody,
  EndpointCreated,
  EndpointShown,
  UpdateEndpointBody,
} from './endpoints.schema.js';
import { EndpointSeals } from './endpoint-seals.js';
import { EndpointSecretsService, newSecrets, showSecrets } from './endpoint-secrets.service.js';

const DEFAULT_TIMEOUT_MS = 15_000;

/** The receivers of an account. */
@Injectable()
export class EndpointsService {
  constructor(
    private readonly database: Database,
    @Inject(EGRESS) private readonly networks: EgressNetworks,
    private readonly reconciler: Reconciler,
    private readonly seals: EndpointSeals,
    private readonly secrets: EndpointSecretsService,
  ) {}

  async create(_caller: Caller, accountId: string, body: CreateEndpointBody): Promise<EndpointCreated> {
    const { scheme } = body.signing ?? STANDARD;
    const secrets = newSecrets(scheme, {
      own: body.signingSecret,
      pointer: '/signingSecret',
      versions: body.signingVersions ?? ['v1'],
    });
    await this.checkUrl(body.url);
    const now = new Date();
    const id = uuidV7(now.getTime());
    const endpoint = {
      id,
      accountId,
      url: body.url,
      description: body.description ?? null,
      eventTypes: body.eventTypes ?? null,
      sealedHeaders: this.seals.sealHeaders(id, body.headers ?? {}),
      signing: body.signing ?? null,
      timeoutMs: body.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      retrySchedule: body.retrySchedule ?? ('default' as const),
      lane: body.lane ?? null,
      priority: body.priority ? priorityLevel(body.priority) : null,
      ...rateColumns(body.rateLimit ?? null),
      maxInFlight: body.maxInFlight ?? null,
      paused: body.paused ?? false,
      disabledReason: null,
      createdAt: now,
      updatedAt: now,
      deletedAt: null,
    };
    await this.database.transaction(async (client) => {
      const account = await client.query('SELECT 1 FROM accounts WHERE id = $1 FOR KEY SHARE', [accountId]);
      if (account.rowCount === 0) throw notFound('account');
      await client.query(
        `INSERT INTO endpoints (id, account_id, url, description, event_types, sealed_headers, timeout_ms, retry_schedule,
           lane, priority, rate_per_second, rate_burst, max_in_flight, paused, signing, created_at, updated_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16)`,
        [
          id,
          accountId,
          endpoint.url,
          endpoint.description,
          endpoint.eventTypes,
          endpoint.sealedHeaders,
          endpoint.timeoutMs,
          JSON.stringify(endpoint.retrySchedule),
          endpoint.lane,
          endpoint.priority,
          endpoint.ratePerSecond,
          endpoint.rateBurst,
          endpoint.maxInFlight,
          endpoint.paused,
          endpoint.signing && JSON.stringify(endpoint.signing),
          now,
        ],
      );
      await this.secrets.insert(client, id, secrets);
    });
    const { secret: signingSecret, ...others } = showSecrets(secrets);
    return { ...this.show(endpoint), signingSecret, ...others };
  }

  async list(_caller: Caller, accountId: string, query: ListQuery): Promise<Page<EndpointShown>> {
    const builder = this.repository
      .createQueryBuilder('endpoint')
      .where('endpoint.account_id = :accountId AND endpoint.deleted_at IS NULL', { accountId })
      .orderBy('endpoint.id', 'DESC')
      .limit(query.limit + 1);
    if (query.cursor !== undefined) {
      builder.andWhere('endpoint.id < :after', { after: decodeCursor('endpoints', query.cursor) });
    }
    return toPage('endpoints', await builder.getMany(), query.limit, (endpoint) => this.show(endpoint));
  }

  async get(_caller: Caller, accountId: string, id: string): Promise<EndpointShown> {
    return this.show(await this.find(accountId, id));
  }

  async update(
    caller: Caller,
    accountId: string,
    id: string,
    body: UpdateEndpointBody,
  ): Promise<EndpointShown> {
    if (body.url !== undefined) await this.checkUrl(body.url);
    await this.database.transaction(async (client) => {
      // The lock makes pausing and resuming take turns, so that each sees all the deliveries the other left.
      const locked = await client.query<LockedEndpoint>(
        `SELECT paused, sealed_headers, rate_per_second, rate_burst FROM endpoints
          WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL FOR UPDATE`,
        [id, accountId],
      );
      const [before] = locked.rows;
      if (!before) throw notFound('endpoint');
      const paused = body.paused ?? (body.status === undefined ? before.paused : body.status === 'paused');
      const rate = body.rateLimit === undefined ? undefined : rateColumns(body.rateLimit);
      const changes: Record<string, unknown> = {
        url: body.url,
        description: body.description,
        event_types: body.eventTypes,
        timeout_ms: body.timeoutMs,
        retry_schedule: body.retrySchedule === undefined ? undefined : JSON.stringify(body.retrySchedule),
        sealed_headers:
          body.headers === undefined
            ? undefined
            : this.seals.sealHeaders(
                id,
                unmaskHeaders(body.headers, this.seals.openHeaders(id, before.sealed_headers)),
              ),
        signing: body.signing === undefined ? undefined : JSON.stringify(body.signing),
        lane: body.lane,
        priority: body.priority ? priorityLevel(body.priority) : body.priority,
        rate_per_second: rate?.ratePerSecond,
        rate_burst: rate?.rateBurst,
        max_in_flight: body.maxInFlight,
        paused,
        disabled_reason: body.status === 'active' ? null : undefined,
      };
      if (body.signing) await this.secrets.checkAllFit(client, id, body.signing.scheme);
      const columns = Object.entries(changes).filter(([, value]) => value !== undefined);
      await client.query(
        `UPDATE endpoints SET updated_at = now(), ${columns.map(([name], index) => `${name} = $${index + 2}`).join(', ')}
          WHERE id = $1`,
        [id, ...columns.map(([, value]) => value)],
      );
      if (
        rate !== undefined &&
        (rate.ratePerSecond !== before.rate_per_second || rate.rateBurst !== before.rate_burst)
      ) {
        await forgetReservations(client, id);
      }
      if (paused && !before.paused) await holdDeliveries(client, id);
      if (!paused && before.paused) await releaseDeliveries(client, id);
    });
    this.reconciler.nudge();
    return this.get(caller, accountId, id);
  }

  /** Ends its open deliveries as cancelled. The row stays for the delivery log, without secrets and headers. */
  async delete(_caller: Caller, accountId: string, id: string): Promise<void> {
    await this.database.transaction(async (client) => {
      const deleted = await client.query(
        `UPDATE endpoints SET deleted_at = now(), updated_at = now(), sealed_headers = NULL
          WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL`,
        [id, accountId],
      );
      if (deleted.rowCount === 0) throw notFound('endpoint');
      await client.query('DELETE FROM endpoint_secrets WHERE endpoint_id = $1', [id]);
      await client.query(
        `UPDATE deliveries SET status = 'cancelled', status_reason = 'endpoint_deleted', next_attempt_at = NULL,
           completed_at = now(), tell = 'cancel', due_at = now(), lease = NULL
          WHERE endpoint_id = $1 AND status IN ('pending', 'retrying', 'held')`,
        [id],
      );
    });
    this.reconciler.nudge();
  }

  private get repository() {
    return this.database.source.getRepository(EndpointEntity);
  }

  private async find(accountId: string, id: string): Promise<EndpointEntity> {
    const endpoint = await this.repository.findOneBy({ id, accountId });
    if (endpoint?.deletedAt !== null) throw notFound('endpoint');
    return endpoint;
  }

  private async checkUrl(url: string): Promise<void> {
    const checked = await checkDestination(url, this.networks);
    if (checked.ok) return;
    const errors = [{ pointer: '/url', detail: `${checked.detail} (${checked.code})` }];
    throw new Problem('endpoint_url_refused', checked.detail, { errors });
  }

  private show(endpoint: EndpointFields): EndpointShown {
    return {
      id: toId('endpoint', endpoint.id),
      accountId: toId('account', endpoint.accountId),
      url: endpoint.url,
      description: endpoint.description,
      eventTypes: endpoint.eventTypes,
      headers: maskHeaders(this.seals.openHeaders(endpoint.id, endpoint.sealedHeaders)),
      timeoutMs: endpoint.timeoutMs,
      signing: endpoint.signing ?? STANDARD,
      retrySchedule: endpoint.retrySchedule,
      lane: endpoint.lane,
      priority: endpoint.priority === null ? null : priorityOf(endpoint.priority),
      rateLimit:
        endpoint.ratePerSecond === null
          ? null
          : { perSecond: endpoint.ratePerSecond, burst: endpoint.rateBurst ?? DEFAULT_BURST },
      maxInFlight: endpoint.maxInFlight,
      status: endpoint.disabledReason !== null ? 'disabled' : endpoint.paused ? 'paused' : 'active',
      statusReason: endpoint.disabledReason,
      paused: endpoint.paused,
      createdAt: endpoint.createdAt.toISOString(),
      updatedAt: endpoint.updatedAt.toISOString(),
    };
  }
}

type EndpointFields = Omit<EndpointEntity, 'deletedAt'>;

interface LockedEndpoint {
  paused: boolean;
  sealed_headers: Buffer | null;
  rate_per_second: number | null;
  rate_burst: number | null;
}

const rateColumns = (limit: NonNullable<CreateEndpointBody['rateLimit']> | null) => ({
  ratePerSecond: limit?.perSecond ?? null,
  rateBurst: limit === null ? null : (limit.burst ?? DEFAULT_BURST),
});

/**
 * What was reserved at the old rate does not count at the new one, and whatever waits for its turn asks again. A
 * `Retry-After` still in force stays: the receiver asked for it, not the limit.
 */
async function forgetReservations(client: pg.PoolClient, endpointId: string): Promise<void> {
  await client.query('UPDATE endpoint_pace SET free_at = NULL WHERE endpoint_id = $1', [endpointId]);
  await client.query(
    `UPDATE deliveries SET tell = 'pace', due_at = now()
      WHERE endpoint_id = $1 AND paced AND status IN ('pending', 'retrying') AND tell IS NULL`,
    [endpointId],
  );
}

/**
 * An express delivery has no workflow that could be told: holding it means not looking at it. The process that has it in
 * hand keeps it, since its attempt may be under way: it gives it up when it sees the pause.
 */
async function holdDeliveries(client: pg.PoolClient, endpointId: string): Promise<void> {
  await client.query(
    `UPDATE deliveries SET status = 'held', status_reason = 'endpoint_paused', lease = CASE WHEN express THEN lease END,
       due_at = CASE WHEN express THEN NULL ELSE now() END, tell = CASE WHEN express THEN NULL ELSE 'hold' END
      WHERE endpoint_id = $1 AND status IN ('pending', 'retrying')`,
    [endpointId],
  );
}

/** What a living process still has in hand it sends itself. */
async function releaseDeliveries(client: pg.PoolClient, endpointId: string): Promise<void> {
  await client.query(
    `UPDATE deliveries d SET status = CASE WHEN d.attempt_count > d.budget_start THEN 'retrying' ELSE 'pending' END,
       status_reason = NULL, lease = l.id, tell = CASE WHEN d.express THEN NULL ELSE 'release' END,
       due_at = CASE WHEN l.id IS NULL THEN now() ELSE now() + interval '${IN_HAND_SECONDS} seconds' END
      FROM deliveries h LEFT JOIN leases l ON l.id = h.lease AND l.expires_at > now()
      WHERE h.id = d.id AND d.endpoint_id = $1 AND h.endpoint_id = $1 AND d.status = 'held'`,
    [endpointId],
  );
}
