import { Controller, Get, Header, Param, Req } from '@nestjs/common';
import { ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { Public } from '../auth/auth.decorators.js';
import { originOf } from '../auth/origin.js';
import { eventShown } from '../events/events.schema.js';
import { Answers } from '../http/http.decorators.js';
import { FetchService } from './fetch.service.js';

@ApiTags('Events')
@Controller('v1/fetch')
export class FetchController {
  constructor(private readonly events: FetchService) {}

  @Get(':fetchToken')
  @Public()
  @Header('Cache-Control', 'no-store')
  @Header('Content-Type', 'application/json; charset=utf-8')
  @ApiOperation({ summary: 'Fetch the event of a thin delivery, once, by the link in it' })
  @ApiParam({ name: 'fetchToken', schema: { type: 'string', pattern: '^[A-Za-z0-9_-]+$' } })
  @Answers(200, eventShown)
  get(@Req() request: FastifyRequest, @Param('fetchToken') token: string) {
    return this.events.fetch(originOf(request), token, request.method === 'HEAD');
  }
}
