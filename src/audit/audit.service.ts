import { Injectable } from '@nestjs/common';
import type pg from 'pg';
import type { Caller } from '../auth/caller.js';
import { decodeCursor, type Page, toPage } from '../common/cursor.js';
import { fromId, uuidV7Floor } from '../common/ids.js';
import { notFound } from '../common/problems.js';
import { Conditions } from '../database/conditions.js';
import { Database } from '../database/database.js';
import type { Action } from './actions.js';
import type { AccountAuditQuery, AuditQuery } from './audit.schema.js';
import { canonicalJson } from './canonical-json.js';
import type { Changes } from './changes.js';
import type { AuditEntry } from './entry.js';
import { ENTRY_COLUMNS, type EntryRow, toEntry } from './entry-rows.js';

/** What a caller did. */
export interface AuditedAction {
  /** UUID of the account whose chain it belongs to; null for the operator's. */
  accountId: string | null;
  action: Action;
  /** As the API shows it. */
  resourceId: string;
  /** Without anything that is secret. */
  changes: Changes;
}

/** Who did what: every management write and every read of a secret, in a chain that is only ever added to. */
@Injectable()
export class AuditService {
  constructor(private readonly database: Database) {}

  /**
   * Adds an entry to its chain. Others who write to the chain wait from here to the end of the transaction: it is to be
   * the transaction's last statement.
   *
   * @param client holds the transaction that makes the change, or reads the secret: both are kept, or neither
   */
  async record(client: pg.PoolClient, caller: Caller, done: AuditedAction): Promise<void> {
    await client.query({
      name: 'audit',
      text: `INSERT INTO audit_log (key_id, address, user_agent, request_id, account_id, action, resource_id, changes)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
      values: [
        caller.keyId,
        caller.ip,
        caller.userAgent,
        caller.requestId,
        done.accountId,
        done.action,
        done.resourceId,
        canonicalJson(done.changes),
      ],
    });
  }

  /** Of every chain, newest first. */
  async list(caller: Caller, { accountId: account, ...query }: AuditQuery): Promise<Page<AuditEntry>> {
    if (account === undefined) return this.page(caller, new Conditions('true'), query);
    const accountId = fromId('account', account);
    if (accountId === null) throw notFound('account');
    return this.page(caller, new Conditions('account_id = ?', accountId), query);
  }

  /** Of an account's own chain, newest first. */
  async listOf(caller: Caller, accountId: string, query: AccountAuditQuery): Promise<Page<AuditEntry>> {
    return this.page(caller, new Conditions('account_id = ?', accountId), query);
  }

  private async page(
    caller: Caller,
    conditions: Conditions,
    query: AccountAuditQuery,
  ): Promise<Page<AuditEntry>> {
    if (query.cursor !== undefined) conditions.and('id < ?', decodeCursor('audit-log', query.cursor));
    if (query.action !== undefined) conditions.and('action = ?', query.action);
    if (query.actor !== undefined) conditions.and('key_id = ?', query.actor);
    if (query.resourceId !== undefined) conditions.and('resource_id = ?', query.resourceId);
    if (query.since !== undefined) conditions.and('id >= ?', uuidV7Floor(Date.parse(query.since)));
    if (query.until !== undefined) conditions.and('id < ?', uuidV7Floor(Date.parse(query.until)));
    const rows = await this.database.list<EntryRow>(
      caller.accountId ?? 'operator',
      `SELECT ${ENTRY_COLUMNS} FROM audit_log WHERE ${conditions.text} ORDER BY id DESC LIMIT ${query.limit + 1}`,
      conditions.values,
    );
    return toPage('audit-log', rows, query.limit, toEntry);
  }
}
