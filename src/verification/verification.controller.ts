import { Controller, Get, Header, Headers, Param, Post } from '@nestjs/common';
import { ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Public, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { Answers, Id, IdempotencyKey } from '../http/http.decorators.js';
import { EndpointVerificationService } from './endpoint-verification.service.js';
import { leaveGranted, verificationShown } from './verification.schema.js';

@ApiTags('Endpoints')
@Controller('v1/accounts/:account/endpoints/:endpoint')
export class VerificationController {
  constructor(private readonly verification: EndpointVerificationService) {}

  @Get('verification')
  @Requires('endpoints:read')
  @ApiOperation({ summary: 'Whether the receiver has shown that it wants deliveries, and why not' })
  @Answers(200, verificationShown)
  get(@CurrentCaller() caller: Caller, @Id('account') accountId: string, @Id('endpoint') id: string) {
    return this.verification.get(caller, accountId, id);
  }

  @Post('verify')
  @Requires('endpoints:write')
  @ApiOperation({ summary: 'Ask the receiver now' })
  @IdempotencyKey()
  @Answers(200, verificationShown)
  verify(@CurrentCaller() caller: Caller, @Id('account') accountId: string, @Id('endpoint') id: string) {
    return this.verification.verify(caller, accountId, id);
  }
}

/** Where a receiver gives leave in its own time, or a person with a browser (CloudEvents HTTP webhook 1.0 §4.1.3). */
@ApiTags('Endpoints')
@ApiParam({ name: 'leave', schema: { type: 'string', pattern: '^[A-Za-z0-9_-]+$' } })
@Controller('v1/handshakes/:leave')
export class HandshakeController {
  constructor(private readonly verification: EndpointVerificationService) {}

  @Get()
  @Public()
  @Header('Cache-Control', 'no-store')
  @ApiOperation({ summary: 'Give leave to deliver, by the link of a handshake' })
  @Answers(200, leaveGranted)
  open(@Param('leave') leave: string, @Headers('webhook-allowed-rate') rate: string | undefined) {
    return this.verification.grant(leave, rate);
  }

  @Post()
  @Public()
  @Header('Cache-Control', 'no-store')
  @ApiOperation({ summary: 'The same' })
  @Answers(200, leaveGranted)
  post(@Param('leave') leave: string, @Headers('webhook-allowed-rate') rate: string | undefined) {
    return this.verification.grant(leave, rate);
  }
}
