import { Injectable } from '@nestjs/common';
import type pg from 'pg';
import { LessThan } from 'typeorm';
import type { Action } from '../audit/actions.js';
import { AuditService } from '../audit/audit.service.js';
import { changesBetween, changesOfEntries } from '../audit/changes.js';
import type { Caller } from '../auth/caller.js';
import { decodeCursor, type Page, toPage } from '../common/cursor.js';
import { toId, uuidV7 } from '../common/ids.js';
import { notFound, Problem } from '../common/problems.js';
import type { ListQuery } from '../common/schemas.js';
import { Database } from '../database/database.js';
import { isCredential, MASK } from '../endpoints/custom-headers.js';
import { AccountPlans } from '../plans/account-plans.js';
import { reviewHealthOf } from '../plans/health-reviews.js';
import { AccountEntity } from './account.entity.js';
import type { AccountShown, CreateAccountBody, UpdateAccountBody } from './accounts.schema.js';

/** The provider's customers. */
@Injectable()
export class AccountsService {
  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
    private readonly plans: AccountPlans,
  ) {}

  async create(caller: Caller, body: CreateAccountBody): Promise<AccountShown> {
    const now = new Date();
    const account: AccountEntity = {
      id: uuidV7(now.getTime()),
      name: body.name,
      plan: body.plan ?? null,
      mode: body.mode ?? 'live',
      metadata: body.metadata ?? {},
      notificationEmails: body.notificationEmails ?? [],
      createdAt: now,
      updatedAt: now,
    };
    await this.database.transaction(async (client) => {
      await client.query(
        `INSERT INTO accounts (id, name, plan, metadata, notification_emails, created_at, updated_at, mode)
          VALUES ($1, $2, $3, $4, $5, $6, $6, $7)`,
        [
          account.id,
          account.name,
          account.plan,
          JSON.stringify(account.metadata),
          account.notificationEmails,
          now,
          account.mode,
        ],
      );
      await this.record(client, caller, 'account.create', null, account);
    });
    if (account.plan !== null) await this.plans.refresh();
    return show(account);
  }

  async list(_caller: Caller, query: ListQuery): Promise<Page<AccountShown>> {
    const rows = await this.repository.find({
      ...(query.cursor === undefined
        ? {}
        : { where: { id: LessThan(decodeCursor('accounts', query.cursor)) } }),
      order: { id: 'DESC' },
      take: query.limit + 1,
    });
    return toPage('accounts', rows, query.limit, show);
  }

  async get(_caller: Caller, id: string): Promise<AccountShown> {
    const account = await this.repository.findOneBy({ id });
    if (!account) throw notFound('account');
    return show(account);
  }

  /** @throws Problem `forbidden` when a key of the account would give it another plan */
  async update(caller: Caller, id: string, body: UpdateAccountBody): Promise<AccountShown> {
    if (body.plan !== undefined && caller.accountId !== null)
      throw new Problem('forbidden', 'Only an operator key may change the plan of an account.');
    const shown = await this.database.transaction(async (client) => {
      const columns = this.database.columnsOf(AccountEntity);
      const locked = await client.query<AccountEntity>(
        `SELECT ${columns} FROM accounts WHERE id = $1 FOR NO KEY UPDATE`,
        [id],
      );
      const [before] = locked.rows;
      if (!before) throw notFound('account');
      const { name = before.name, plan = before.plan, metadata = before.metadata } = body;
      const { notificationEmails = before.notificationEmails, mode = before.mode } = body;
      const updated = await client.query<AccountEntity>(
        `UPDATE accounts SET name = $2, plan = $3, metadata = $4, notification_emails = $5, updated_at = $6, mode = $7
          WHERE id = $1 RETURNING ${columns}`,
        [id, name, plan, JSON.stringify(metadata), notificationEmails, new Date(), mode],
      );
      const [after] = updated.rows;
      if (!after) throw new Error('a locked account is gone');
      if (after.plan !== before.plan) await reviewHealthOf(client, { accountId: id });
      await this.record(client, caller, 'account.update', before, after);
      return show(after);
    });
    if (body.plan !== undefined) await this.plans.refresh();
    return shown;
  }

  private async record(
    client: pg.PoolClient,
    caller: Caller,
    action: Action,
    before: AccountEntity | null,
    after: AccountEntity,
  ): Promise<void> {
    const metadata = changesOfEntries(before?.metadata ?? {}, after.metadata, maskCredential);
    await this.audit.record(client, caller, {
      accountId: after.id,
      action,
      resourceId: toId('account', after.id),
      changes: {
        ...changesBetween(before && audited(before), audited(after)),
        ...(metadata && { metadata }),
      },
    });
  }

  private get repository() {
    return this.database.source.getRepository(AccountEntity);
  }
}

function show(account: AccountEntity): AccountShown {
  return {
    id: toId('account', account.id),
    name: account.name,
    plan: account.plan,
    mode: account.mode,
    metadata: account.metadata,
    notificationEmails: account.notificationEmails,
    createdAt: account.createdAt.toISOString(),
    updatedAt: account.updatedAt.toISOString(),
  };
}

const maskCredential = (text: unknown, name: string) => (isCredential(name.toLowerCase()) ? MASK : text);

const audited = ({ name, plan, mode, notificationEmails }: AccountEntity) => ({
  name,
  plan,
  mode,
  notificationEmails,
});
