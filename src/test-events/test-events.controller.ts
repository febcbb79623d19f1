import { Body, Controller, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { deliverySummary } from '../deliveries/deliveries.schema.js';
import { Answers, BodyText, Id, IdempotencyKey } from '../http/http.decorators.js';
import { type TestEventBody, testEventBody } from './test-events.schema.js';
import { TestEventsService } from './test-events.service.js';

@ApiTags('Endpoints')
@Controller('v1/accounts/:account/endpoints/:endpoint/test')
export class TestEventsController {
  constructor(private readonly tests: TestEventsService) {}

  @Post()
  @Requires('endpoints:write')
  @ApiOperation({ summary: 'Send a test event to this endpoint alone; answers the delivery' })
  @IdempotencyKey()
  @Answers(202, deliverySummary)
  send(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Id('endpoint') id: string,
    @Body({ schema: testEventBody }) body: TestEventBody,
    @BodyText() bodyText: string,
  ) {
    return this.tests.send(caller, accountId, id, body, bodyText);
  }
}
