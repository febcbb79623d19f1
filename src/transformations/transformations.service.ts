import { Injectable } from '@nestjs/common';
import type pg from 'pg';
import type { Action } from '../audit/actions.js';
import { AuditService } from '../audit/audit.service.js';
import { changesBetween } from '../audit/changes.js';
import type { Caller } from '../auth/caller.js';
import { decodeCursor, type Page, toPage } from '../common/cursor.js';
import { toId, uuidV7 } from '../common/ids.js';
import { invalidField, notFound } from '../common/problems.js';
import type { ListQuery } from '../common/schemas.js';
import { Conditions } from '../database/conditions.js';
import { Database } from '../database/database.js';
import { Backlog } from '../endpoints/backlog.js';
import { changeBacklog } from '../endpoints/backlog-changes.js';
import { AccountPlans } from '../plans/account-plans.js';
import { checkTransformation } from '../plans/plan.js';
import { planOfAccount } from '../plans/plan-of-account.js';
import { ProgramRuns } from './program-runs.js';
import type { Program } from './transformation.js';
import {
  addVersion,
  auditedOf,
  CURRENT,
  currentOf,
  programOf,
  pruneVersions,
  putInForce,
  removeTransformation,
  sourceOf,
  type TransformationRow,
  type VersionRow,
} from './transformation-record.js';
import {
  MAX_VERSIONS,
  type PutTransformationBody,
  type RollbackBody,
  type TransformationShown,
  type VersionShown,
} from './transformations.schema.js';

/** What is done to events before they go to an endpoint. */
@Injectable()
export class TransformationsService {
  constructor(
    private readonly database: Database,
    private readonly runs: ProgramRuns,
    private readonly plans: AccountPlans,
    private readonly backlog: Backlog,
    private readonly audit: AuditService,
  ) {}

  async get(_caller: Caller, accountId: string, endpointId: string): Promise<TransformationShown> {
    const [row] = await this.database.prepared<TransformationRow>(
      'get_transformation',
      `${CURRENT} JOIN endpoints e ON e.id = t.endpoint_id
        WHERE e.id = $1 AND e.account_id = $2 AND e.deleted_at IS NULL`,
      [endpointId, accountId],
    );
    if (!row) throw notFound('transformation');
    return show(row);
  }

  /** @throws Problem `validation_failed` for a program that cannot be loaded, `plan_limit_exceeded`, `unavailable` */
  async put(
    caller: Caller,
    accountId: string,
    endpointId: string,
    body: PutTransformationBody,
  ): Promise<TransformationShown> {
    const program = programIn(body);
    const plan = this.plans.known(accountId) ?? (await this.plans.load(accountId));
    checkTransformation(plan, program.kind, '/kind');
    await this.check(accountId, endpointId, program);
    const versionId = uuidV7(Date.now());
    return this.change(caller, accountId, endpointId, 'transformation.update', async (client, before) => {
      checkTransformation(await planOfAccount(client, accountId, this.plans.fallback), program.kind, '/kind');
      const isSame = before?.kind === program.kind && before.source === sourceOf(program);
      if (isSame && before.enabled === body.enabled) return;
      if (!isSame) await addVersion(client, endpointId, versionId, program);
      await putInForce(client, endpointId, isSame ? before.id : versionId, body.enabled);
      await pruneVersions(client, endpointId, MAX_VERSIONS);
      await changeBacklog(client, endpointId, 'transformation');
    });
  }

  /** @throws Problem `validation_failed` for a version that is not kept, `plan_limit_exceeded` */
  async rollback(
    caller: Caller,
    accountId: string,
    endpointId: string,
    { version }: RollbackBody,
  ): Promise<TransformationShown> {
    return this.change(caller, accountId, endpointId, 'transformation.rollback', async (client, before) => {
      if (!before) throw notFound('transformation');
      const { rows } = await client.query<VersionRow>(
        'SELECT id, version, kind, source, created_at FROM transformation_versions WHERE endpoint_id = $1 AND version = $2',
        [endpointId, version],
      );
      const [earlier] = rows;
      if (!earlier) throw invalidField('/version', 'is not one of those that are kept');
      checkTransformation(
        await planOfAccount(client, accountId, this.plans.fallback),
        earlier.kind,
        '/version',
      );
      if (earlier.id === before.id) return;
      await putInForce(client, endpointId, earlier.id, before.enabled);
      await changeBacklog(client, endpointId, 'transformation');
    });
  }

  async delete(caller: Caller, accountId: string, endpointId: string): Promise<void> {
    await this.database.transaction(async (client) => {
      await lockEndpoint(client, accountId, endpointId);
      const before = await currentOf(client, endpointId);
      if (!before) throw notFound('transformation');
      await removeTransformation(client, endpointId);
      await changeBacklog(client, endpointId, 'transformation');
      await this.record(client, caller, 'transformation.delete', {
        accountId,
        endpointId,
        before,
        after: null,
      });
    });
    await this.backlog.follow(endpointId);
  }

  async versions(
    _caller: Caller,
    accountId: string,
    endpointId: string,
    query: ListQuery,
  ): Promise<Page<VersionShown>> {
    const conditions = new Conditions('e.id = ?', endpointId);
    conditions.and('e.account_id = ?', accountId);
    const known = await this.database.query<{ version_id: string }>(
      `SELECT t.version_id FROM transformations t JOIN endpoints e ON e.id = t.endpoint_id
        WHERE ${conditions.text} AND e.deleted_at IS NULL`,
      conditions.values,
    );
    const [current] = known;
    if (!current) throw notFound('transformation');
    const after = query.cursor === undefined ? null : decodeCursor('transformation-versions', query.cursor);
    const rows = await this.database.list<VersionRow>(
      accountId,
      `SELECT id, version, kind, source, created_at FROM transformation_versions
        WHERE endpoint_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3`,
      [endpointId, after, query.limit + 1],
    );
    return toPage('transformation-versions', rows, query.limit, (row) => ({
      ...showVersion(row),
      current: row.id === current.version_id,
      createdAt: row.created_at.toISOString(),
    }));
  }

  /** A version that cannot even be loaded is refused, before it has cost a delivery. */
  private async check(accountId: string, endpointId: string, program: Program): Promise<void> {
    const [endpoint] = await this.database.prepared<{ url: string }>(
      'endpoint_to_transform',
      'SELECT url FROM endpoints WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL',
      [endpointId, accountId],
    );
    if (!endpoint) throw notFound('endpoint');
    const checked = await this.runs.check(program, { accountId, endpointId, url: endpoint.url });
    if (!checked.ok) {
      const pointer = checked.pointer ?? (program.kind === 'javascript' ? '/code' : '/spec');
      throw invalidField(pointer, checked.detail);
    }
  }

  private async change(
    caller: Caller,
    accountId: string,
    endpointId: string,
    action: Action,
    carryOut: (client: pg.PoolClient, before: TransformationRow | null) => Promise<void>,
  ): Promise<TransformationShown> {
    const changed = await this.database.transaction(async (client) => {
      await lockEndpoint(client, accountId, endpointId);
      const before = await currentOf(client, endpointId);
      await carryOut(client, before);
      const after = await currentOf(client, endpointId);
      if (!after) throw new Error('a transformation that was set is gone');
      await this.record(client, caller, action, { accountId, endpointId, before, after });
      return after;
    });
    await this.backlog.follow(endpointId);
    return show(changed);
  }

  private async record(
    client: pg.PoolClient,
    caller: Caller,
    action: Action,
    {
      accountId,
      endpointId,
      before,
      after,
    }: {
      accountId: string;
      endpointId: string;
      before: TransformationRow | null;
      after: TransformationRow | null;
    },
  ): Promise<void> {
    await this.audit.record(client, caller, {
      accountId,
      action,
      resourceId: toId('endpoint', endpointId),
      changes: changesBetween(before && auditedOf(before), after && auditedOf(after)),
    });
  }
}

/** So that changes take turns, and a delivery that fails meanwhile is found by the one that mends it. */
async function lockEndpoint(client: pg.PoolClient, accountId: string, endpointId: string): Promise<void> {
  const { rowCount } = await client.query(
    'SELECT 1 FROM endpoints WHERE id = $1 AND account_id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE',
    [endpointId, accountId],
  );
  if (rowCount === 0) throw notFound('endpoint');
}

function programIn({ kind, code, spec }: PutTransformationBody): Program {
  return kind === 'javascript' ? { kind, code: code ?? '' } : { kind, spec: spec ?? {} };
}

function showVersion({ version, kind, source }: Pick<VersionRow, 'version' | 'kind' | 'source'>) {
  const program = programOf({ kind, source });
  return {
    version,
    kind,
    code: program.kind === 'javascript' ? program.code : null,
    spec: program.kind === 'declarative' ? { ...program.spec } : null,
  };
}

const show = (row: TransformationRow): TransformationShown => ({
  ...showVersion(row),
  enabled: row.enabled,
  createdAt: row.created_at.toISOString(),
  updatedAt: row.updated_at.toISOString(),
});
