import { Body, Controller, Delete, Get, Header, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { listQuery, type ListQuery } from '../common/schemas.js';
import { Answers, Id, IdempotencyKey } from '../http/http.decorators.js';
import {
  type CreateEndpointBody,
  createEndpointBody,
  endpointCreated,
  endpointPage,
  endpointShown,
  type RotateSecretBody,
  rotateSecretBody,
  secretShown,
  type UpdateEndpointBody,
  updateEndpointBody,
} from './endpoints.schema.js';
import { EndpointSecretsService } from './endpoint-secrets.service.js';
import { EndpointsService } from './endpoints.service.js';

@ApiTags('Endpoints')
@Controller('v1/accounts/:account/endpoints')
export class EndpointsController {
  constructor(
    private readonly endpoints: EndpointsService,
    private readonly secrets: EndpointSecretsService,
  ) {}

  @Post()
  @Requires('endpoints:write')
  @ApiOperation({ summary: 'Register a receiver' })
  @IdempotencyKey()
  @Answers(201, endpointCreated)
  create(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Body({ schema: createEndpointBody }) body: CreateEndpointBody,
  ) {
    return this.endpoints.create(caller, accountId, body);
  }

  @Get()
  @Requires('endpoints:read')
  @ApiOperation({ summary: 'List endpoints, newest first' })
  @Answers(200, endpointPage)
  list(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Query({ schema: listQuery }) query: ListQuery,
  ) {
    return this.endpoints.list(caller, accountId, query);
  }

  @Get(':endpoint')
  @Requires('endpoints:read')
  @ApiOperation({ summary: 'Read an endpoint' })
  @Answers(200, endpointShown)
  get(@CurrentCaller() caller: Caller, @Id('account') accountId: string, @Id('endpoint') id: string) {
    return this.endpoints.get(caller, accountId, id);
  }

  @Patch(':endpoint')
  @Requires('endpoints:write')
  @ApiOperation({ summary: 'Change, pause, resume or enable an endpoint' })
  @IdempotencyKey()
  @Answers(200, endpointShown)
  update(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Id('endpoint') id: string,
    @Body({ schema: updateEndpointBody }) body: UpdateEndpointBody,
  ) {
    return this.endpoints.update(caller, accountId, id, body);
  }

  @Delete(':endpoint')
  @Requires('endpoints:write')
  @ApiOperation({ summary: 'Delete an endpoint; its open deliveries end as cancelled' })
  @IdempotencyKey()
  @Answers(204)
  delete(@CurrentCaller() caller: Caller, @Id('account') accountId: string, @Id('endpoint') id: string) {
    return this.endpoints.delete(caller, accountId, id);
  }

  @Get(':endpoint/secret')
  @Requires('secrets:read')
  @Header('Cache-Control', 'no-store')
  @ApiOperation({ summary: 'Read the signing secret; every read is audited' })
  @Answers(200, secretShown)
  readSecret(@CurrentCaller() caller: Caller, @Id('account') accountId: string, @Id('endpoint') id: string) {
    return this.secrets.read(caller, accountId, id);
  }

  @Post(':endpoint/secret/rotate')
  @Requires('secrets:write')
  @Header('Cache-Control', 'no-store')
  @ApiOperation({ summary: 'Replace the signing secret; the old one signs beside it for the overlap' })
  @IdempotencyKey()
  @Answers(200, secretShown)
  rotateSecret(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Id('endpoint') id: string,
    @Body({ schema: rotateSecretBody }) body: RotateSecretBody,
  ) {
    return this.secrets.rotate(caller, accountId, id, body);
  }
}
