import { Body, Controller, Delete, Get, Post, Put, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { listQuery, type ListQuery } from '../common/schemas.js';
import { Answers, Id, IdempotencyKey } from '../http/http.decorators.js';
import { TransformationTests } from './transformation-tests.js';
import {
  type PutTransformationBody,
  putTransformationBody,
  type RollbackBody,
  rollbackBody,
  type TestTransformationBody,
  testTransformationBody,
  transformationShown,
  transformationTested,
  versionPage,
} from './transformations.schema.js';
import { TransformationsService } from './transformations.service.js';

@ApiTags('Transformations')
@Controller('v1/accounts/:account/endpoints/:endpoint/transformation')
export class TransformationsController {
  constructor(
    private readonly transformations: TransformationsService,
    private readonly tests: TransformationTests,
  ) {}

  @Get()
  @Requires('endpoints:read')
  @ApiOperation({ summary: 'What is done to events before they go to the endpoint' })
  @Answers(200, transformationShown)
  get(@CurrentCaller() caller: Caller, @Id('account') accountId: string, @Id('endpoint') id: string) {
    return this.transformations.get(caller, accountId, id);
  }

  @Put()
  @Requires('endpoints:write')
  @ApiOperation({
    summary: 'Set it; another program makes another version, and what failed by it is tried at once',
  })
  @IdempotencyKey()
  @Answers(200, transformationShown)
  put(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Id('endpoint') id: string,
    @Body({ schema: putTransformationBody }) body: PutTransformationBody,
  ) {
    return this.transformations.put(caller, accountId, id, body);
  }

  @Delete()
  @Requires('endpoints:write')
  @ApiOperation({ summary: 'Remove it with all its versions; events then go as they were published' })
  @IdempotencyKey()
  @Answers(204)
  delete(@CurrentCaller() caller: Caller, @Id('account') accountId: string, @Id('endpoint') id: string) {
    return this.transformations.delete(caller, accountId, id);
  }

  @Get('versions')
  @Requires('endpoints:read')
  @ApiOperation({ summary: 'List the latest 50 versions, newest first' })
  @Answers(200, versionPage)
  versions(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Id('endpoint') id: string,
    @Query({ schema: listQuery }) query: ListQuery,
  ) {
    return this.transformations.versions(caller, accountId, id, query);
  }

  @Post('rollback')
  @Requires('endpoints:write')
  @ApiOperation({ summary: 'Put an earlier version in force again' })
  @IdempotencyKey()
  @Answers(200, transformationShown)
  rollback(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Id('endpoint') id: string,
    @Body({ schema: rollbackBody }) body: RollbackBody,
  ) {
    return this.transformations.rollback(caller, accountId, id, body);
  }

  @Post('test')
  @Requires('endpoints:write')
  @ApiOperation({ summary: 'Run it, or another one, on an event: nothing is sent' })
  @IdempotencyKey()
  @Answers(200, transformationTested)
  test(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Id('endpoint') id: string,
    @Body({ schema: testTransformationBody }) body: TestTransformationBody,
  ) {
    return this.tests.run(caller, accountId, id, body);
  }
}
