import { Body, Controller, Delete, Get, Param, Patch, Post, Put, Query } from '@nestjs/common';
import { ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { EVENT_TYPE, listQuery, type ListQuery, MAX_EVENT_TYPE } from '../common/schemas.js';
import { Answers, IdempotencyKey } from '../http/http.decorators.js';
import { EventTypeDocumentsService } from './event-type-documents.service.js';
import { EventTypeUsage } from './event-type-usage.js';
import {
  type AddVersionBody,
  addVersionBody,
  type ChangeVersionBody,
  changeVersionBody,
  eventTypePage,
  eventTypeShown,
  eventTypeUsage,
  exported,
  type ExportQuery,
  exportQuery,
  importBody,
  imported,
  type ImportQuery,
  importQuery,
  type RegisterEventTypeBody,
  registerEventTypeBody,
} from './event-types.schema.js';
import { EventTypesService } from './event-types.service.js';

export const NamesType = () =>
  ApiParam({
    name: 'type',
    schema: { type: 'string', pattern: EVENT_TYPE.source, maxLength: MAX_EVENT_TYPE },
  });

export const NamesVersion = (name = 'version') =>
  ApiParam({
    name,
    schema: { type: 'string', pattern: '^[^\\u0000-\\u001f\\u007f]+$', maxLength: 32 },
  });

@ApiTags('Event types')
@Controller('v1/event-types')
export class EventTypesController {
  constructor(
    private readonly eventTypes: EventTypesService,
    private readonly documents: EventTypeDocumentsService,
    private readonly usages: EventTypeUsage,
  ) {}

  @Get()
  @Requires('event-types:read', { shared: true })
  @ApiOperation({ summary: 'List event types by name' })
  @Answers(200, eventTypePage)
  list(@CurrentCaller() caller: Caller, @Query({ schema: listQuery }) query: ListQuery) {
    return this.eventTypes.list(caller, query);
  }

  @Get('export')
  @Requires('event-types:read', { shared: true })
  @ApiOperation({ summary: 'Write all event types as an OpenAPI or AsyncAPI document' })
  @Answers(200, exported)
  export(@CurrentCaller() caller: Caller, @Query({ schema: exportQuery }) query: ExportQuery) {
    return this.documents.export(caller, query);
  }

  @Post('import')
  @Requires('event-types:write', { operator: true })
  @ApiOperation({ summary: 'Register the event types of an OpenAPI or AsyncAPI document' })
  @IdempotencyKey()
  @Answers(200, imported)
  import(
    @CurrentCaller() caller: Caller,
    @Query({ schema: importQuery }) query: ImportQuery,
    @Body({ schema: importBody }) body: Record<string, unknown>,
  ) {
    return this.documents.import(caller, body, query);
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

  @Get(':type/usage')
  @Requires('event-types:read', { operator: true })
  @ApiOperation({ summary: 'Count what is published and delivered of each version, and who pins it' })
  @NamesType()
  @Answers(200, eventTypeUsage)
  usage(@CurrentCaller() caller: Caller, @Param('type') name: string) {
    return this.usages.show(caller, name);
  }

  @Post(':type/versions')
  @Requires('event-types:write', { operator: true })
  @ApiOperation({ summary: 'Add a version, which is the newest from then on' })
  @NamesType()
  @IdempotencyKey()
  @Answers(201, eventTypeShown)
  addVersion(
    @CurrentCaller() caller: Caller,
    @Param('type') name: string,
    @Body({ schema: addVersionBody }) body: AddVersionBody,
  ) {
    return this.eventTypes.addVersion(caller, name, body);
  }

  @Patch(':type/versions/:version')
  @Requires('event-types:write', { operator: true })
  @ApiOperation({ summary: 'Deprecate a version, or change it; what is not named stays' })
  @NamesType()
  @NamesVersion()
  @IdempotencyKey()
  @Answers(200, eventTypeShown)
  changeVersion(
    @CurrentCaller() caller: Caller,
    @Param('type') name: string,
    @Param('version') version: string,
    @Body({ schema: changeVersionBody }) body: ChangeVersionBody,
  ) {
    return this.eventTypes.changeVersion(caller, name, version, body);
  }
}
