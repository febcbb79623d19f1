import { Controller, Get, Header, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { CurrentCaller, Public, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { Answers } from '../http/http.decorators.js';
import { type EgressQuery, egressQuery, egressShown } from './egress.schema.js';
import { EgressService } from './egress.service.js';

@ApiTags('Egress')
@Controller()
export class EgressController {
  constructor(private readonly egress: EgressService) {}

  @Get('v1/egress')
  @Requires('endpoints:read', { shared: true })
  @Header('Cache-Control', 'no-store')
  @ApiOperation({ summary: 'Where deliveries come from, and the public keys of an endpoint of your own' })
  @Answers(200, egressShown)
  get(@CurrentCaller() caller: Caller, @Query({ schema: egressQuery }) query: EgressQuery) {
    return this.egress.get(caller, query);
  }

  @Get('.well-known/posthorn.json')
  @Public()
  @ApiOperation({ summary: 'The same for receivers, who have no key' })
  @Answers(200, egressShown)
  async publish(
    @Query({ schema: egressQuery }) query: EgressQuery,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const shown = await this.egress.publish(query);
    // Short beside the usual overlap of two keys, and not said of problems.
    void reply.header('cache-control', 'public, max-age=300');
    return shown;
  }
}
