import { Inject, Injectable } from '@nestjs/common';
import type pg from 'pg';
import type { Action } from '../audit/actions.js';
import { AuditService } from '../audit/audit.service.js';
import { changesBetween } from '../audit/changes.js';
import type { Caller } from '../auth/caller.js';
import type { Page } from '../common/cursor.js';
import { toId, uuidV7 } from '../common/ids.js';
import { invalidField, notFound, Problem } from '../common/problems.js';
import type { ListQuery } from '../common/schemas.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { changeCredentials, maskAuth } from '../credentials/credentials.js';
import type { Auth, PlainAuth } from '../credentials/credentials.schema.js';
import { Database } from '../database/database.js';
import { namedPage } from '../database/named-page.js';
import { maskUrl } from '../endpoints/endpoint-changes.js';
import { checkDestination } from '../transport/egress-check.js';
import type { EgressNetworks } from '../transport/egress-networks.js';
import { namesAreTheProxys } from '../transport/egress-proxy.js';
import { EGRESS } from '../transport/egress.token.js';
import { LOOKUP_NAME } from './lookup.js';
import { LookupCatalogue } from './lookup-catalogue.js';
import { LookupSeals } from './lookup-seals.js';
import type { CreateLookupBody, LookupShown, UpdateLookupBody } from './lookups.schema.js';
import { exampleOf, parseUrlTemplate, type UrlTemplate, UrlTemplateError } from './url-template.js';

/** Every process has all of them in memory. */
const MAX_REGISTERED = 100;
const DEFAULTS = { timeoutMs: 2_000, cacheTtlSeconds: 60, required: true, selfService: false };

/** What the operator lets events be enriched by. */
@Injectable()
export class LookupsService {
  constructor(
    private readonly database: Database,
    private readonly catalogue: LookupCatalogue,
    private readonly seals: LookupSeals,
    private readonly audit: AuditService,
    @Inject(EGRESS) private readonly networks: EgressNetworks,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
  ) {}

  /** @throws Problem `validation_failed`, `lookup_url_refused`, `lookup_exists`, `lookup_limit_reached` */
  async create(caller: Caller, body: CreateLookupBody): Promise<LookupShown> {
    await this.checkUrl(body.url);
    const row = await this.change(async (client) => {
      // So that those that are made at once are counted one after the other.
      await client.query('LOCK TABLE lookups IN SHARE ROW EXCLUSIVE MODE');
      const { rows: names } = await client.query<{ name: string }>('SELECT name FROM lookups');
      if (names.some(({ name }) => name === body.name))
        throw new Problem('lookup_exists', `There is a lookup \`${body.name}\` already.`);
      if (names.length >= MAX_REGISTERED)
        throw new Problem('lookup_limit_reached', `There may be ${MAX_REGISTERED} lookups.`);
      const credentials = changeCredentials(
        this.seals.open(body.name, null),
        { auth: body.auth },
        Date.now(),
      );
      const { rows } = await client.query<LookupRow>(
        `INSERT INTO lookups (name, version, description, url, sealed_auth, timeout_ms, cache_ttl_seconds, required, self_service)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING ${COLUMNS}`,
        [
          body.name,
          uuidV7(Date.now()),
          body.description ?? null,
          body.url,
          this.seals.seal(body.name, credentials),
          body.timeoutMs ?? DEFAULTS.timeoutMs,
          body.cacheTtlSeconds ?? DEFAULTS.cacheTtlSeconds,
          body.required ?? DEFAULTS.required,
          body.selfService ?? DEFAULTS.selfService,
        ],
      );
      const [made] = rows;
      if (!made) throw new Error('an insert returned no row');
      await this.record(client, caller, 'lookup.create', null, made);
      return made;
    });
    return this.show(row);
  }

  list(_caller: Caller, query: ListQuery): Promise<Page<LookupShown>> {
    const select = `SELECT ${COLUMNS} FROM lookups`;
    const show = (row: LookupRow) => this.show(row);
    return namedPage(this.database, { list: 'lookups', select, form: LOOKUP_NAME, show }, query);
  }

  async get(_caller: Caller, name: string): Promise<LookupShown> {
    const [row] = await this.database.prepared<LookupRow>(
      'get_lookup',
      `SELECT ${COLUMNS} FROM lookups WHERE name = $1`,
      [readName(name)],
    );
    if (!row) throw notFound('lookup');
    return this.show(row);
  }

  /** @throws Problem `validation_failed`, `lookup_url_refused` */
  async update(caller: Caller, name: string, body: UpdateLookupBody): Promise<LookupShown> {
    readName(name);
    if (body.url !== undefined) await this.checkUrl(body.url);
    const row = await this.change(async (client) => {
      const before = await lock(client, name);
      const stored = this.seals.open(name, before.sealed_auth);
      const sealedAuth =
        body.auth === undefined
          ? before.sealed_auth
          : this.seals.seal(name, changeCredentials(stored, { auth: body.auth }, Date.now()));
      const { rows } = await client.query<LookupRow>(
        `UPDATE lookups SET version = $2, description = $3, url = $4, sealed_auth = $5, timeout_ms = $6,
           cache_ttl_seconds = $7, required = $8, self_service = $9,
           failed_at = NULL, failure = NULL, warned_at = NULL, updated_at = now() WHERE name = $1 RETURNING ${COLUMNS}`,
        [
          name,
          uuidV7(Date.now()),
          body.description === undefined ? before.description : body.description,
          body.url ?? before.url,
          sealedAuth,
          body.timeoutMs ?? before.timeout_ms,
          body.cacheTtlSeconds ?? before.cache_ttl_seconds,
          body.required ?? before.required,
          body.selfService ?? before.self_service,
        ],
      );
      const [after] = rows;
      if (!after) throw new Error('a locked lookup is gone');
      await this.record(client, caller, 'lookup.update', before, after);
      return after;
    });
    return this.show(row);
  }

  /** @throws Problem `lookup_in_use` while an endpoint asks for it */
  async delete(caller: Caller, name: string): Promise<void> {
    readName(name);
    await this.change(async (client) => {
      const before = await lock(client, name);
      const { rows } = await client.query<{ id: string }>(
        'SELECT id FROM endpoints WHERE lookups @> ARRAY[$1] AND deleted_at IS NULL LIMIT 1',
        [name],
      );
      const [used] = rows;
      if (used)
        throw new Problem('lookup_in_use', `The endpoint ${toId('endpoint', used.id)} asks for \`${name}\`.`);
      await client.query('DELETE FROM lookups WHERE name = $1', [name]);
      await this.record(client, caller, 'lookup.delete', before, null);
    });
  }

  private async checkUrl(text: string): Promise<void> {
    let template: UrlTemplate;
    try {
      template = parseUrlTemplate(text);
    } catch (error) {
      if (error instanceof UrlTemplateError) throw invalidField('/url', error.message);
      throw error;
    }
    const lookup = namesAreTheProxys(this.settings) ? null : undefined;
    const checked = await checkDestination(exampleOf(template), this.networks, lookup);
    if (checked.ok) return;
    const errors = [{ pointer: '/url', detail: `${checked.detail} (${checked.code})` }];
    throw new Problem('lookup_url_refused', checked.detail, { errors });
  }

  private record(
    client: pg.PoolClient,
    caller: Caller,
    action: Action,
    before: LookupRow | null,
    after: LookupRow | null,
  ): Promise<void> {
    const changes = changesBetween(before && this.auditedOf(before), after && this.auditedOf(after), {
      url: (url) => maskUrl(String(url)),
      auth: (auth) => maskAuth(auth as Auth),
    });
    const resourceId = (before ?? after)?.name ?? '';
    return this.audit.record(client, caller, { accountId: null, action, resourceId, changes });
  }

  private auditedOf(row: LookupRow): Record<string, unknown> {
    return {
      name: row.name,
      ...settingsOf(row),
      // Not masked: masks are all alike, and hide what changed.
      auth: this.seals.open(row.name, row.sealed_auth).auth,
    };
  }

  private show(row: LookupRow): LookupShown {
    return {
      name: row.name,
      ...settingsOf(row),
      // No other kind is ever stored.
      auth: maskAuth(this.seals.open(row.name, row.sealed_auth).auth) as PlainAuth,
      lastFailure:
        row.failed_at === null ? null : { at: row.failed_at.toISOString(), detail: row.failure ?? '' },
      createdAt: row.created_at.toISOString(),
      updatedAt: row.updated_at.toISOString(),
    };
  }

  private async change<Result>(work: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
    const result = await this.database.transaction(work);
    await this.catalogue.refresh();
    return result;
  }
}

const COLUMNS = `name, description, url, sealed_auth, timeout_ms, cache_ttl_seconds, required, self_service, failed_at, failure,
  created_at, updated_at`;

interface LookupRow {
  name: string;
  description: string | null;
  url: string;
  sealed_auth: Buffer | null;
  timeout_ms: number;
  cache_ttl_seconds: number;
  required: boolean;
  self_service: boolean;
  failed_at: Date | null;
  failure: string | null;
  created_at: Date;
  updated_at: Date;
}

const settingsOf = (row: LookupRow) => ({
  description: row.description,
  url: row.url,
  timeoutMs: row.timeout_ms,
  cacheTtlSeconds: row.cache_ttl_seconds,
  required: row.required,
  selfService: row.self_service,
});

/** Nobody adds it to an endpoint until the transaction ends. */
async function lock(client: pg.PoolClient, name: string): Promise<LookupRow> {
  const { rows } = await client.query<LookupRow>(
    `SELECT ${COLUMNS} FROM lookups WHERE name = $1 FOR UPDATE`,
    [name],
  );
  const [row] = rows;
  if (!row) throw notFound('lookup');
  return row;
}

/** A name that no lookup may have is not found, and PostgreSQL is not asked for what its text cannot hold. */
function readName(name: string): string {
  if (!LOOKUP_NAME.test(name)) throw notFound('lookup');
  return name;
}
