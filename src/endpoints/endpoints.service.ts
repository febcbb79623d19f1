import { Inject, Injectable } from '@nestjs/common';
import type pg from 'pg';
import { BatchSealer } from '../batches/batch-sealer.js';
import { checkCollectable, closeOpenWindow } from '../batches/endpoint-batch.js';
import { AuditService } from '../audit/audit.service.js';
import type { Caller } from '../auth/caller.js';
import { decodeCursor, type Page, toPage } from '../common/cursor.js';
import { toId, uuidV7 } from '../common/ids.js';
import { priorityLevel } from '../common/priority.js';
import { parseUrl } from '../common/parse-url.js';
import { invalidField, notFound } from '../common/problems.js';
import type { ListQuery } from '../common/schemas.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Database } from '../database/database.js';
import { pinsFor } from '../event-types/endpoint-pins.js';
import { lookupsFor } from '../lookups/endpoint-lookups.js';
import { EndpointAdmission } from '../plans/endpoint-admission.js';
import type { Wishes } from '../plans/plan.js';
import { forgetReservations } from '../pacing/forget-reservations.js';
import { EndpointWatches } from '../temporal/endpoint-watches.js';
import type { Verification } from '../verification/judge.js';
import { dropVerification, startVerification } from '../verification/verification-record.js';
import { STANDARD } from '../signing/schemes.js';
import { DEFAULT_BURST } from '../pacing/limits.js';
import { removeTransformation } from '../transformations/transformation-record.js';
import { EGRESS } from '../transport/egress.token.js';
import type { EgressNetworks } from '../transport/egress-networks.js';
import { forgetHealth } from '../endpoint-health/health-record.js';
import { MASK, unmaskHeaders } from './custom-headers.js';
import { EndpointEntity } from './endpoint.entity.js';
import { Backlog } from './backlog.js';
import { changeBacklog } from './backlog-changes.js';
import { checkUrls } from './endpoint-urls.js';
import type {
  CreateEndpointBody,
  EndpointCreated,
  EndpointShown,
  UpdateEndpointBody,
} from './endpoints.schema.js';
import { EndpointCredentialsService } from './endpoint-credentials.service.js';
import { EndpointSeals } from './endpoint-seals.js';
import { EndpointSecretsService, newSecrets, showSecrets } from './endpoint-secrets.service.js';
import { EndpointViews } from './endpoint-views.js';
import { delaysOf } from './retry-schedule.js';

const DEFAULT_TIMEOUT_MS = 15_000;

/** The receivers of an account. */
@Injectable()
export class EndpointsService {
  constructor(
    private readonly database: Database,
    @Inject(EGRESS) private readonly networks: EgressNetworks,
    private readonly backlog: Backlog,
    private readonly seals: EndpointSeals,
    private readonly views: EndpointViews,
    private readonly secrets: EndpointSecretsService,
    private readonly audit: AuditService,
    private readonly credentials: EndpointCredentialsService,
    private readonly watches: EndpointWatches,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
    private readonly admission: EndpointAdmission,
    private readonly sealer: BatchSealer,
  ) {}

  async create(caller: Caller, accountId: string, body: CreateEndpointBody): Promise<EndpointCreated> {
    const { scheme } = body.signing ?? STANDARD;
    const secrets = newSecrets(scheme, {
      own: body.signingSecret,
      pointer: '/signingSecret',
      versions: body.signingVersions ?? ['v1'],
    });
    checkCollectable(body.batch ?? null, body.format ?? 'posthorn');
    const verification = this.verificationOf(body) ?? (await this.admission.verification(accountId));
    await checkUrls(body, this.networks, this.settings);
    const now = new Date();
    const id = uuidV7(now.getTime());
    const endpoint: EndpointEntity = {
      id,
      accountId,
      url: body.url,
      description: body.description ?? null,
      eventTypes: body.eventTypes ?? null,
      eventVersions: null,
      filter: body.filter ?? null,
      lookups: null,
      sealedHeaders: this.seals.sealHeaders(id, body.headers ?? {}),
      signing: body.signing ?? null,
      ...this.credentials.change(id, null, body, {
        url: body.url,
        headers: body.headers ?? {},
        signing: body.signing ?? null,
      }),
      timeoutMs: body.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      retrySchedule: body.retrySchedule ?? ('default' as const),
      lane: body.lane ?? null,
      priority: body.priority ? priorityLevel(body.priority) : null,
      ...rateColumns(body.rateLimit ?? null),
      maxInFlight: body.maxInFlight ?? null,
      payload: body.payload ?? 'full',
      format: body.format ?? 'posthorn',
      batch: body.batch ?? null,
      test: body.test ?? false,
      paused: body.paused ?? false,
      verification,
      unverified: verification !== 'none',
      verificationError: null,
      heldReason: null,
      disabledReason: null,
      createdAt: now,
      updatedAt: now,
      deletedAt: null,
    };
    const committed = await this.database.transaction(async (client) => {
      const admitted = await this.admission.admitNew(client, accountId, wishesOf({ ...body, verification }));
      endpoint.eventVersions = await pinsFor(client, {
        eventTypes: endpoint.eventTypes,
        wished: body.eventVersions,
        before: null,
      });
      endpoint.lookups = await lookupsFor(client, caller, body.lookups ?? [], null);
      await client.query(
        `INSERT INTO endpoints (id, account_id, url, description, event_types, sealed_headers, timeout_ms, retry_schedule,
           lane, priority, rate_per_second, rate_burst, max_in_flight, paused, signing, sealed_auth, certificate_expires_at,
           verification, event_versions, created_at, updated_at, payload, format, test, filter, lookups, batch)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $20, $21, $22, $23, $24, $25, $26)`,
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
          endpoint.sealedAuth,
          endpoint.certificateExpiresAt,
          endpoint.verification,
          endpoint.eventVersions && JSON.stringify(endpoint.eventVersions),
          now,
          endpoint.payload,
          endpoint.format,
          endpoint.test,
          filterColumn(endpoint.filter),
          endpoint.lookups,
          endpoint.batch && JSON.stringify(endpoint.batch),
        ],
      );
      if (endpoint.unverified) await startVerification(client, id);
      await this.secrets.insert(client, id, secrets);
      await this.audit.record(client, caller, {
        accountId,
        action: 'endpoint.create',
        resourceId: toId('endpoint', id),
        changes: { ...this.views.changes(null, endpoint), signingSecret: { from: null, to: MASK } },
      });
      return admitted;
    });
    committed();
    await this.watch(endpoint);
    const { secret: signingSecret, ...others } = showSecrets(secrets);
    return { ...this.views.show(endpoint), signingSecret, ...others };
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
    return toPage('endpoints', await builder.getMany(), query.limit, (endpoint) => this.views.show(endpoint));
  }

  async get(_caller: Caller, accountId: string, id: string): Promise<EndpointShown> {
    return this.views.show(await this.find(accountId, id));
  }

  async update(
    caller: Caller,
    accountId: string,
    id: string,
    body: UpdateEndpointBody,
  ): Promise<EndpointShown> {
    this.verificationOf(body);
    await checkUrls(body, this.networks, this.settings);
    const updated = await this.database.transaction(async (client) => {
      // The lock makes pausing and resuming take turns, so that each sees all the deliveries the other left.
      const before = await this.lock(client, accountId, id);
      await this.admission.admitChange(client, accountId, wishesOf(body));
      checkCollectable(body.batch === undefined ? before.batch : body.batch, body.format ?? before.format);
      const paused = body.paused ?? (body.status === undefined ? before.paused : body.status === 'paused');
      const rate = body.rateLimit === undefined ? undefined : rateColumns(body.rateLimit);
      const stored = this.seals.openHeaders(id, before.sealedHeaders);
      const headers = body.headers === undefined ? stored : unmaskHeaders(body.headers, stored);
      const credentials = this.credentials.change(id, before.sealedAuth, body, {
        url: body.url ?? before.url,
        headers,
        signing: body.signing ?? before.signing,
      });
      const pins =
        body.eventTypes === undefined && body.eventVersions === undefined
          ? undefined
          : await pinsFor(client, {
              eventTypes: body.eventTypes === undefined ? before.eventTypes : body.eventTypes,
              wished: body.eventVersions,
              before: before.eventVersions,
            });
      const changes: Record<string, unknown> = {
        url: body.url,
        description: body.description,
        event_types: body.eventTypes,
        event_versions: pins && JSON.stringify(pins),
        filter: body.filter === undefined ? undefined : filterColumn(body.filter),
        lookups: body.lookups && (await lookupsFor(client, caller, body.lookups, before.lookups)),
        timeout_ms: body.timeoutMs,
        retry_schedule: body.retrySchedule === undefined ? undefined : JSON.stringify(body.retrySchedule),
        sealed_headers: body.headers === undefined ? undefined : this.seals.sealHeaders(id, headers),
        sealed_auth: credentials.sealedAuth,
        certificate_expires_at: credentials.certificateExpiresAt,
        certificate_warned_days:
          credentials.certificateExpiresAt?.getTime() === before.certificateExpiresAt?.getTime()
            ? undefined
            : null,
        verification: body.verification,
        signing: body.signing === undefined ? undefined : JSON.stringify(body.signing),
        lane: body.lane,
        priority: body.priority ? priorityLevel(body.priority) : body.priority,
        rate_per_second: rate?.ratePerSecond,
        rate_burst: rate?.rateBurst,
        max_in_flight: body.maxInFlight,
        payload: body.payload,
        format: body.format,
        batch: body.batch && JSON.stringify(body.batch),
        test: body.test,
        paused,
        disabled_reason: body.status === 'active' ? null : undefined,
      };
      if (body.signing) await this.secrets.checkAllFit(client, id, body.signing.scheme);
      const columns = Object.entries(changes).filter(([, value]) => value !== undefined);
      const { rows } = await client.query<EndpointEntity>(
        `UPDATE endpoints SET updated_at = now(), ${columns.map(([name], index) => `${name} = $${index + 2}`).join(', ')}
          WHERE id = $1 RETURNING ${this.columns}`,
        [id, ...columns.map(([, value]) => value)],
      );
      const [after] = rows;
      if (!after) throw new Error('a locked endpoint is gone');
      const isOtherRate =
        rate !== undefined &&
        (rate.ratePerSecond !== before.ratePerSecond || rate.rateBurst !== before.rateBurst);
      // What was disabled has nothing left that moments are reserved for.
      if (isOtherRate || (before.disabledReason !== null && after.disabledReason === null))
        await forgetReservations(client, id);
      const anew =
        paused !== before.paused ||
        (body.url !== undefined && body.url !== before.url) ||
        body.status === 'active';
      if (anew) await forgetHealth(client, id);
      if (body.batch !== undefined) await closeOpenWindow(client, before, after);
      await askAgain(client, before, after);
      await this.followHold(client, before);
      await this.audit.record(client, caller, {
        accountId,
        action: 'endpoint.update',
        resourceId: toId('endpoint', id),
        changes: this.views.changes(before, after),
      });
      return this.lock(client, accountId, id);
    });
    await this.backlog.follow(id);
    if (body.batch !== undefined) await this.sealer.seal(id);
    await this.watch(updated);
    return this.views.show(updated);
  }

  /** Ends its open deliveries as cancelled. The row stays for the delivery log, without secrets and headers. */
  async delete(caller: Caller, accountId: string, id: string): Promise<void> {
    await this.database.transaction(async (client) => {
      const before = await this.lock(client, accountId, id);
      await client.query(
        `UPDATE endpoints SET deleted_at = now(), updated_at = now(), sealed_headers = NULL, sealed_auth = NULL,
           certificate_expires_at = NULL
          WHERE id = $1`,
        [id],
      );
      await client.query('DELETE FROM endpoint_secrets WHERE endpoint_id = $1', [id]);
      await client.query('DELETE FROM endpoint_verifications WHERE endpoint_id = $1', [id]);
      await removeTransformation(client, id);
      await forgetHealth(client, id);
      await changeBacklog(client, id, 'state');
      await this.audit.record(client, caller, {
        accountId,
        action: 'endpoint.delete',
        resourceId: toId('endpoint', id),
        changes: { ...this.views.changes(before, null), signingSecret: { from: MASK, to: null } },
      });
    });
    await this.backlog.follow(id);
  }

  /** @throws Problem `validation_failed` for a way that the deployment does not allow */
  private verificationOf({
    verification,
  }: Pick<UpdateEndpointBody, 'verification'>): Verification | undefined {
    const { VERIFICATION: allowed } = this.settings;
    if (verification === undefined || allowed.includes(verification)) return verification;
    throw invalidField('/verification', `must be one of ${allowed.join(', ')} here`);
  }

  /** What it waits for is waited for by workflows. */
  private async watch({ id, unverified, certificateExpiresAt }: EndpointEntity): Promise<void> {
    if (unverified) await this.watches.wake('verification', id);
    if (certificateExpiresAt !== null) await this.watches.wake('credentials', id);
  }

  /** Holds or releases what a change has stopped or let go. @param before the change */
  private async followHold(client: pg.PoolClient, { id, heldReason: before }: EndpointEntity): Promise<void> {
    const { rows } = await client.query<{ held_reason: string | null }>(
      'SELECT held_reason FROM endpoints WHERE id = $1',
      [id],
    );
    const after = rows[0]?.held_reason ?? null;
    if (after !== before) await changeBacklog(client, id, 'state');
  }

  private get repository() {
    return this.database.source.getRepository(EndpointEntity);
  }

  private get columns(): string {
    return this.database.columnsOf(EndpointEntity);
  }

  private async lock(client: pg.PoolClient, accountId: string, id: string): Promise<EndpointEntity> {
    const { rows } = await client.query<EndpointEntity>(
      `SELECT ${this.columns} FROM endpoints
        WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE`,
      [id, accountId],
    );
    const [endpoint] = rows;
    if (!endpoint) throw notFound('endpoint');
    return endpoint;
  }

  private async find(accountId: string, id: string): Promise<EndpointEntity> {
    const endpoint = await this.repository.findOneBy({ id, accountId });
    if (endpoint?.deletedAt !== null) throw notFound('endpoint');
    return endpoint;
  }
}

/** Another host, or another way to be asked, and the receiver is asked again. */
async function askAgain(client: pg.PoolClient, before: EndpointEntity, after: EndpointEntity): Promise<void> {
  const isOther =
    after.verification !== before.verification || parseUrl(after.url)?.host !== parseUrl(before.url)?.host;
  if (!isOther) return;
  if (after.verification !== 'none') await startVerification(client, after.id);
  else if (before.verification !== 'none') await dropVerification(client, after.id);
}

/** What is not given is not asked for: the plan bounds it wherever it counts. */
const wishesOf = ({
  retrySchedule,
  lane,
  priority,
  maxInFlight,
  verification,
  lookups,
  batch,
}: UpdateEndpointBody): Wishes => ({
  delays: retrySchedule && delaysOf(retrySchedule),
  lane,
  priority,
  maxInFlight,
  verification,
  lookups,
  batchSize: batch?.maxEvents,
});

const filterColumn = (filter: unknown): string | null => (filter === null ? null : JSON.stringify(filter));

const rateColumns = (limit: NonNullable<CreateEndpointBody['rateLimit']> | null) => ({
  ratePerSecond: limit?.perSecond ?? null,
  rateBurst: limit === null ? null : (limit.burst ?? DEFAULT_BURST),
});
