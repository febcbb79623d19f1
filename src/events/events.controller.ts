import { Body, Controller, Get, Header, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { Answers, BodyText, Id, IdempotencyKey } from '../http/http.decorators.js';
import {
  eventPage,
  eventShown,
  eventsQuery,
  type EventsQuery,
  type PublishBatchBody,
  publishBatchBody,
  type PublishBody,
  publishBody,
  published,
  publishedBatch,
} from './events.schema.js';
import { EventsService } from './events.service.js';

@ApiTags('Events')
@Controller('v1/accounts/:account/events')
export class EventsController {
  constructor(private readonly events: EventsService) {}

  @Post()
  @Requires('events:write')
  @ApiOperation({ summary: 'Publish an event; answered once it and its deliveries are committed' })
  @IdempotencyKey()
  @Answers(202, published)
  publish(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Body({ schema: publishBody }) body: PublishBody,
    @BodyText() bodyText: string,
  ) {
    return this.events.publish(caller, accountId, body, bodyText);
  }

  @Post('batch')
  @Requires('events:write')
  @ApiOperation({ summary: 'Publish up to 1,000 events; one answer for each, in order' })
  @IdempotencyKey()
  @Answers(202, publishedBatch)
  publishBatch(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Body({ schema: publishBatchBody }) body: PublishBatchBody,
    @BodyText() bodyText: string,
  ) {
    return this.events.publishBatch(caller, accountId, body, bodyText);
  }

  @Get()
  @Requires('events:read')
  @ApiOperation({ summary: 'List events, newest first' })
  @Answers(200, eventPage)
  list(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Query({ schema: eventsQuery }) query: EventsQuery,
  ) {
    return this.events.list(caller, accountId, query);
  }

  @Get(':event')
  @Requires('events:read')
  @Header('Content-Type', 'application/json; charset=utf-8')
  @ApiOperation({ summary: 'Read an event with its data' })
  @Answers(200, eventShown)
  get(@CurrentCaller() caller: Caller, @Id('account') accountId: string, @Id('event') id: string) {
    return this.events.get(caller, accountId, id);
  }
}
