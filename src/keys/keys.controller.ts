import { Body, Controller, Delete, Get, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { listQuery, type ListQuery } from '../common/schemas.js';
import { Answers, Id, IdempotencyKey } from '../http/http.decorators.js';
import { type CreateKeyBody, createKeyBody, keyPage, keyWithSecret } from './keys.schema.js';
import { KeysService } from './keys.service.js';

@ApiTags('API keys')
@Controller('v1/keys')
export class OperatorKeysController {
  constructor(private readonly keys: KeysService) {}

  @Post()
  @Requires('keys:write', { operator: true })
  @ApiOperation({ summary: 'Create an operator key' })
  @IdempotencyKey()
  @Answers(201, keyWithSecret)
  create(@CurrentCaller() caller: Caller, @Body({ schema: createKeyBody }) body: CreateKeyBody) {
    return this.keys.create(caller, null, body);
  }

  @Get()
  @Requires('keys:read', { operator: true })
  @ApiOperation({ summary: 'List operator keys' })
  @Answers(200, keyPage)
  list(@CurrentCaller() caller: Caller, @Query({ schema: listQuery }) query: ListQuery) {
    return this.keys.list(caller, null, query);
  }

  @Delete(':key')
  @Requires('keys:write', { operator: true })
  @ApiOperation({ summary: 'Revoke an operator key' })
  @IdempotencyKey()
  @Answers(204)
  revoke(@CurrentCaller() caller: Caller, @Id('key') id: string) {
    return this.keys.revoke(caller, null, id);
  }
}

@ApiTags('API keys')
@Controller('v1/accounts/:account/keys')
export class AccountKeysController {
  constructor(private readonly keys: KeysService) {}

  @Post()
  @Requires('keys:write')
  @ApiOperation({ summary: 'Create a key bound to the account' })
  @IdempotencyKey()
  @Answers(201, keyWithSecret)
  create(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Body({ schema: createKeyBody }) body: CreateKeyBody,
  ) {
    return this.keys.create(caller, accountId, body);
  }

  @Get()
  @Requires('keys:read')
  @ApiOperation({ summary: "List the account's keys" })
  @Answers(200, keyPage)
  list(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Query({ schema: listQuery }) query: ListQuery,
  ) {
    return this.keys.list(caller, accountId, query);
  }

  @Delete(':key')
  @Requires('keys:write')
  @ApiOperation({ summary: "Revoke one of the account's keys" })
  @IdempotencyKey()
  @Answers(204)
  revoke(@CurrentCaller() caller: Caller, @Id('account') accountId: string, @Id('key') id: string) {
    return this.keys.revoke(caller, accountId, id);
  }
}
