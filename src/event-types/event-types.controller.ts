import { Body, Controller, Delete, Get, Param, Put, Query } from '@nestjs/common';
import { ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { EVENT_TYPE, listQuery, type ListQuery, MAX_EVENT_TYPE } from '../common/schemas.js';
import { Answers, IdempotencyKey } from '../http/http.decorators.js';
import {
  eventTypePage,
  eventTypeShown,
  type RegisterEventTypeBody,
  registerEventTypeBody,
} from './event-types.schema.js';
import { EventTypesService } from './event-types.service.js';

const NamesType = () =>
  ApiParam({
    name: 'type',
    schema: { type: 'string', pattern: EVENT_TYPE.source, maxLength: MAX_EVENT_TYPE },
  });

@ApiTags('Event types')
@Controller('v1/event-types')
export class EventTypesController {
  constructor(private readonly eventTypes: EventTypesService) {}

  @Get()
  @Requires('event-types:read', { shared: true })
  @ApiOperation({ summary: 'List event types by name' })
  @Answers(200, eventTypePage)
  list(@CurrentCaller() caller: Caller, @Query({ schema: listQuery }) query: ListQuery) {
    return this.eventTypes.list(caller, query);
  }

  @Get(':type')
  @Requires('event-types:read', { shared: true })
  @ApiOperation({ summary: 'Read an event type' })
  @NamesType()
  @Answers(200, eventTypeShown)
  get(@CurrentCaller() caller: Caller, @Param('type') name: string) {
    return this.eventTypes.get(caller, name);
  }

  @Put(':type')
  @Requires('event-types:write', { operator: true })
  @ApiOperation({ summary: 'Register an event type, or replace what is registered' })
  @NamesType()
  @IdempotencyKey()
  @Answers(200, eventTypeShown)
  register(
    @CurrentCaller() caller: Caller,
    @Param('type') name: string,
    @Body({ schema: registerEventTypeBody }) body: RegisterEventTypeBody,
  ) {
    return this.eventTypes.register(caller, name, body);
  }

  @Delete(':type')
  @Requires('event-types:write', { operator: true })
  @ApiOperation({ summary: 'Remove an event type; events of it are published as before' })
  @NamesType()
  @IdempotencyKey()
  @Answers(204)
  delete(@CurrentCaller() caller: Caller, @Param('type') name: string) {
    return this.eventTypes.delete(caller, name);
  }
}
