import { Body, Controller, Delete, Get, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { listQuery, type ListQuery } from '../common/schemas.js';
import { Answers, IdempotencyKey } from '../http/http.decorators.js';
import { LOOKUP_NAME } from './lookup.js';
import {
  type CreateLookupBody,
  createLookupBody,
  lookupPage,
  lookupShown,
  type UpdateLookupBody,
  updateLookupBody,
} from './lookups.schema.js';
import { LookupsService } from './lookups.service.js';

const NamesLookup = () =>
  ApiParam({ name: 'lookup', schema: { type: 'string', pattern: LOOKUP_NAME.source, maxLength: 40 } });

@ApiTags('Lookups')
@Controller('v1/lookups')
export class LookupsController {
  constructor(private readonly lookups: LookupsService) {}

  @Post()
  @Requires('lookups:write', { operator: true })
  @ApiOperation({ summary: 'Register a lookup that events can be enriched by' })
  @IdempotencyKey()
  @Answers(201, lookupShown)
  create(@CurrentCaller() caller: Caller, @Body({ schema: createLookupBody }) body: CreateLookupBody) {
    return this.lookups.create(caller, body);
  }

  @Get()
  @Requires('lookups:read', { operator: true })
  @ApiOperation({ summary: 'List lookups by name' })
  @Answers(200, lookupPage)
  list(@CurrentCaller() caller: Caller, @Query({ schema: listQuery }) query: ListQuery) {
    return this.lookups.list(caller, query);
  }

  @Get(':lookup')
  @Requires('lookups:read', { operator: true })
  @ApiOperation({ summary: 'Read a lookup, and how it failed last' })
  @NamesLookup()
  @Answers(200, lookupShown)
  get(@CurrentCaller() caller: Caller, @Param('lookup') name: string) {
    return this.lookups.get(caller, name);
  }

  @Patch(':lookup')
  @Requires('lookups:write', { operator: true })
  @ApiOperation({ summary: 'Change a lookup; in force within a second, and nothing of before is kept' })
  @NamesLookup()
  @IdempotencyKey()
  @Answers(200, lookupShown)
  update(
    @CurrentCaller() caller: Caller,
    @Param('lookup') name: string,
    @Body({ schema: updateLookupBody }) body: UpdateLookupBody,
  ) {
    return this.lookups.update(caller, name, body);
  }

  @Delete(':lookup')
  @Requires('lookups:write', { operator: true })
  @ApiOperation({ summary: 'Delete a lookup that no endpoint asks for' })
  @NamesLookup()
  @IdempotencyKey()
  @Answers(204)
  delete(@CurrentCaller() caller: Caller, @Param('lookup') name: string) {
    return this.lookups.delete(caller, name);
  }
}
