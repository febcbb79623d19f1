import { Controller, Get, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { Answers, Id, IdempotencyKey } from '../http/http.decorators.js';
import { deliveriesQuery, type DeliveriesQuery, deliveryPage, deliveryShown } from './deliveries.schema.js';
import { DeliveriesService } from './deliveries.service.js';

@ApiTags('Deliveries')
@Controller('v1/accounts/:account/deliveries')
export class DeliveriesController {
  constructor(private readonly deliveries: DeliveriesService) {}

  @Get()
  @Requires('deliveries:read')
  @ApiOperation({ summary: 'The delivery log, newest first: one row per event and endpoint' })
  @Answers(200, deliveryPage)
  list(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Query({ schema: deliveriesQuery }) query: DeliveriesQuery,
  ) {
    return this.deliveries.list(caller, accountId, query);
  }

  @Get(':delivery')
  @Requires('deliveries:read')
  @ApiOperation({
    summary: 'Read a delivery with all its attempts: live while it runs, from the record after',
  })
  @Answers(200, deliveryShown)
  get(@CurrentCaller() caller: Caller, @Id('account') accountId: string, @Id('delivery') id: string) {
    return this.deliveries.get(caller, accountId, id);
  }

  @Post(':delivery/retry')
  @Requires('deliveries:retry')
  @ApiOperation({ summary: 'Send at once: cut a backoff short, or send a finished delivery again' })
  @IdempotencyKey()
  @Answers(202, deliveryShown)
  retry(@CurrentCaller() caller: Caller, @Id('account') accountId: string, @Id('delivery') id: string) {
    return this.deliveries.retry(caller, accountId, id);
  }

  @Post(':delivery/cancel')
  @Requires('deliveries:cancel')
  @ApiOperation({ summary: 'Cancel: no attempt starts after the answer' })
  @IdempotencyKey()
  @Answers(202, deliveryShown)
  cancel(@CurrentCaller() caller: Caller, @Id('account') accountId: string, @Id('delivery') id: string) {
    return this.deliveries.cancel(caller, accountId, id);
  }
}
