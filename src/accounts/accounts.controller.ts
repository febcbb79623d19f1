import { Body, Controller, Get, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { listQuery, type ListQuery } from '../common/schemas.js';
import { Answers, Id, IdempotencyKey } from '../http/http.decorators.js';
import {
  accountPage,
  accountShown,
  type CreateAccountBody,
  createAccountBody,
  type UpdateAccountBody,
  updateAccountBody,
} from './accounts.schema.js';
import { AccountsService } from './accounts.service.js';

@ApiTags('Accounts')
@Controller('v1/accounts')
export class AccountsController {
  constructor(private readonly accounts: AccountsService) {}

  @Post()
  @Requires('accounts:write', { operator: true })
  @ApiOperation({ summary: 'Create an account' })
  @IdempotencyKey()
  @Answers(201, accountShown)
  create(@CurrentCaller() caller: Caller, @Body({ schema: createAccountBody }) body: CreateAccountBody) {
    return this.accounts.create(caller, body);
  }

  @Get()
  @Requires('accounts:read', { operator: true })
  @ApiOperation({ summary: 'List accounts, newest first' })
  @Answers(200, accountPage)
  list(@CurrentCaller() caller: Caller, @Query({ schema: listQuery }) query: ListQuery) {
    return this.accounts.list(caller, query);
  }

  @Get(':account')
  @Requires('accounts:read')
  @ApiOperation({ summary: 'Read an account' })
  @Answers(200, accountShown)
  get(@CurrentCaller() caller: Caller, @Id('account') id: string) {
    return this.accounts.get(caller, id);
  }

  @Patch(':account')
  @Requires('accounts:write')
  @ApiOperation({ summary: 'Change an account' })
  @IdempotencyKey()
  @Answers(200, accountShown)
  update(
    @CurrentCaller() caller: Caller,
    @Id('account') id: string,
    @Body({ schema: updateAccountBody }) body: UpdateAccountBody,
  ) {
    return this.accounts.update(caller, id, body);
  }
}
