import { applyDecorators, Body, Controller, Delete, Get, Param, Put } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { NamesType, NamesVersion } from '../event-types/event-types.controller.js';
import { Answers, IdempotencyKey } from '../http/http.decorators.js';
import { conversionShown, type PutConversionBody, putConversionBody } from './conversions.schema.js';
import { ConversionsService } from './conversions.service.js';

const NamesConversion = () => applyDecorators(NamesType(), NamesVersion('from'), NamesVersion('to'));

@ApiTags('Event types')
@Controller('v1/event-types/:type/conversions/:from/:to')
export class ConversionsController {
  constructor(private readonly conversions: ConversionsService) {}

  @Get()
  @Requires('event-types:read', { operator: true })
  @ApiOperation({ summary: 'What becomes of data of one version in another' })
  @NamesConversion()
  @Answers(200, conversionShown)
  get(
    @CurrentCaller() caller: Caller,
    @Param('type') type: string,
    @Param('from') from: string,
    @Param('to') to: string,
  ) {
    return this.conversions.get(caller, { type, from, to });
  }

  @Put()
  @Requires('event-types:write', { operator: true })
  @ApiOperation({
    summary: 'Set it, when its tests come out as expected; what failed by it is tried at once',
  })
  @NamesConversion()
  @IdempotencyKey()
  @Answers(200, conversionShown)
  put(
    @CurrentCaller() caller: Caller,
    @Param('type') type: string,
    @Param('from') from: string,
    @Param('to') to: string,
    @Body({ schema: putConversionBody }) body: PutConversionBody,
  ) {
    return this.conversions.put(caller, { type, from, to }, body);
  }

  @Delete()
  @Requires('event-types:write', { operator: true })
  @ApiOperation({
    summary: 'Remove it; where no other way leads to a pinned version, events go as published',
  })
  @NamesConversion()
  @IdempotencyKey()
  @Answers(204)
  delete(
    @CurrentCaller() caller: Caller,
    @Param('type') type: string,
    @Param('from') from: string,
    @Param('to') to: string,
  ) {
    return this.conversions.delete(caller, { type, from, to });
  }
}
