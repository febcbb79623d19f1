import { Body, Controller, Delete, Header, Post, Req } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { CurrentCaller, Public, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { originOf } from '../auth/origin.js';
import { Answers, Id, IdempotencyKey } from '../http/http.decorators.js';
import {
  type CreatePortalTokenBody,
  createPortalTokenBody,
  type ExchangeBody,
  exchangeBody,
  portalToken,
  portalTokenMade,
} from './portal-tokens.schema.js';
import { PortalTokensService } from './portal-tokens.service.js';

@ApiTags('Portal')
@Controller('v1/accounts/:account/portal-tokens')
export class PortalTokensController {
  constructor(private readonly tokens: PortalTokensService) {}

  @Post()
  @Requires('portal-tokens:write')
  @Header('Cache-Control', 'no-store')
  @ApiOperation({
    summary: "Make a token for the customer's own page; the answer has a code to exchange for it",
  })
  @IdempotencyKey()
  @Answers(201, portalTokenMade)
  create(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Body({ schema: createPortalTokenBody }) body: CreatePortalTokenBody,
  ) {
    return this.tokens.create(caller, accountId, body);
  }

  @Delete(':token')
  @Requires('portal-tokens:write')
  @ApiOperation({ summary: 'Revoke a portal token, exchanged or not' })
  @IdempotencyKey()
  @Answers(204)
  revoke(@CurrentCaller() caller: Caller, @Id('account') accountId: string, @Id('token') id: string) {
    return this.tokens.revoke(caller, accountId, id);
  }
}

@ApiTags('Portal')
@Controller('v1/portal')
export class PortalController {
  constructor(private readonly tokens: PortalTokensService) {}

  @Post('exchange')
  @Public()
  @Header('Cache-Control', 'no-store')
  @ApiOperation({ summary: 'Exchange a code for its portal token, once' })
  @Answers(200, portalToken)
  exchange(@Req() request: FastifyRequest, @Body({ schema: exchangeBody }) body: ExchangeBody) {
    return this.tokens.exchange(originOf(request), body);
  }
}
