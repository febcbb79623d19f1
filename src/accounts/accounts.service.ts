import { Injectable } from '@nestjs/common';
import { LessThan } from 'typeorm';
import type { Caller } from '../auth/caller.js';
import { decodeCursor, type Page, toPage } from '../common/cursor.js';
import { toId, uuidV7 } from '../common/ids.js';
import { notFound } from '../common/problems.js';
import type { ListQuery } from '../common/schemas.js';
import { Database } from '../database/database.js';
import { AccountEntity } from './account.entity.js';
import type { AccountShown, CreateAccountBody, UpdateAccountBody } from './accounts.schema.js';

/** The provider's customers. */
@Injectable()
export class AccountsService {
  constructor(private readonly database: Database) {}

  async create(_caller: Caller, body: CreateAccountBody): Promise<AccountShown> {
    const now = new Date();
    const account = await this.repository.save({
      id: uuidV7(now.getTime()),
      name: body.name,
      plan: body.plan ?? null,
      metadata: body.metadata ?? {},
      createdAt: now,
      updatedAt: now,
    });
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

  async update(caller: Caller, id: string, body: UpdateAccountBody): Promise<AccountShown> {
    const result = await this.repository.update(
      { id },
      {
        ...(body.name === undefined ? {} : { name: body.name }),
        ...(body.plan === undefined ? {} : { plan: body.plan }),
        ...(body.metadata === undefined ? {} : { metadata: body.metadata }),
        updatedAt: new Date(),
      },
    );
    if (result.affected === 0) throw notFound('account');
    return this.get(caller, id);
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
    metadata: account.metadata,
    createdAt: account.createdAt.toISOString(),
    updatedAt: account.updatedAt.toISOString(),
  };
}
