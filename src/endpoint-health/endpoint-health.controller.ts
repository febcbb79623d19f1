import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { Answers, Id } from '../http/http.decorators.js';
import { endpointHealthShown } from './endpoint-health.schema.js';
import { EndpointHealthService } from './endpoint-health.service.js';

@ApiTags('Endpoints')
@Controller('v1/accounts/:account/endpoints/:endpoint/health')
export class EndpointHealthController {
  constructor(private readonly health: EndpointHealthService) {}

  @Get()
  @Requires('endpoints:read')
  @ApiOperation({ summary: 'How well an endpoint takes its deliveries' })
  @Answers(200, endpointHealthShown)
  get(@CurrentCaller() caller: Caller, @Id('account') accountId: string, @Id('endpoint') id: string) {
    return this.health.get(caller, accountId, id);
  }
}
