import { Body, Controller, Get, Header, Post, Query } from '@nestjs/common';
import { ApiBody, type ApiBodyOptions, ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { CloudEventHeaders } from '../cloud-events/describe-cloud-events.js';
import {
  AnswerFields,
  Answers,
  BodyText,
  Id,
  IdempotencyKey,
  SentOnce,
  type TellFields,
} from '../http/http.decorators.js';
import type { Once } from '../http/idempotency.interceptor.js';
import {
  eventPage,
  eventQuery,
  type EventQuery,
  eventShown,
  eventsQuery,
  type EventsQuery,
  type PublishBatchBody,
  publishBatchBody,
  publishAnswer,
  publishBody,
  publishedBatch,
} from './events.schema.js';
import { EventsService } from './events.service.js';
import { type Publication, PublicationPipe, Publishes } from './publication.js';

@ApiTags('Events')
@Controller('v1/accounts/:account/events')
export class EventsController {
  constructor(private readonly events: EventsService) {}

  @Post()
  @Requires('events:write')
  @ApiOperation({
    summary: 'Publish an event; answered once it and its deliveries are committed',
    description:
      'As `application/json` in the shape below, or as CloudEvents 1.0: structured, in a batch, or binary, with the attributes as ' +
      '`ce-` headers and the data as the body.',
  })
  @ApiBody({ standardSchema: publishBody } as ApiBodyOptions)
  @CloudEventHeaders()
  @IdempotencyKey()
  @Answers(202, publishAnswer)
  publish(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Publishes(PublicationPipe) publication: Publication,
    @SentOnce() once: Once | null,
    @AnswerFields() tell: TellFields,
  ) {
    return this.events.publish(caller, accountId, publication, { once, tell });
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
    @SentOnce() once: Once | null,
    @AnswerFields() tell: TellFields,
  ) {
    return this.events.publishBatch(caller, accountId, body, bodyText, { once, tell });
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
  get(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Id('event') id: string,
    @Query({ schema: eventQuery }) query: EventQuery,
  ) {
    return this.events.get(caller, accountId, id, query);
  }
}
