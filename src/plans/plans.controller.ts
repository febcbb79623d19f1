import { Body, Controller, Delete, Get, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { listQuery, type ListQuery } from '../common/schemas.js';
import { Answers, Id, IdempotencyKey } from '../http/http.decorators.js';
import {
  accountLimitsShown,
  type CreatePlanBody,
  createPlanBody,
  PLAN_NAME,
  planPage,
  planShown,
  type UpdatePlanBody,
  updatePlanBody,
} from './plans.schema.js';
import { PlansService } from './plans.service.js';

const NamesPlan = () =>
  ApiParam({ name: 'plan', schema: { type: 'string', pattern: PLAN_NAME.source, maxLength: 64 } });

@ApiTags('Plans')
@Controller('v1/plans')
export class PlansController {
  constructor(private readonly plans: PlansService) {}

  @Post()
  @Requires('plans:write', { operator: true })
  @ApiOperation({ summary: 'Make a plan' })
  @IdempotencyKey()
  @Answers(201, planShown)
  create(@CurrentCaller() caller: Caller, @Body({ schema: createPlanBody }) body: CreatePlanBody) {
    return this.plans.create(caller, body);
  }

  @Get()
  @Requires('plans:read', { operator: true })
  @ApiOperation({ summary: 'List plans by name' })
  @Answers(200, planPage)
  list(@CurrentCaller() caller: Caller, @Query({ schema: listQuery }) query: ListQuery) {
    return this.plans.list(caller, query);
  }

  @Get(':plan')
  @Requires('plans:read', { operator: true })
  @ApiOperation({ summary: 'Read a plan' })
  @NamesPlan()
  @Answers(200, planShown)
  get(@CurrentCaller() caller: Caller, @Param('plan') name: string) {
    return this.plans.get(caller, name);
  }

  @Patch(':plan')
  @Requires('plans:write', { operator: true })
  @ApiOperation({ summary: 'Change limits of a plan; in force within a second' })
  @NamesPlan()
  @IdempotencyKey()
  @Answers(200, planShown)
  update(
    @CurrentCaller() caller: Caller,
    @Param('plan') name: string,
    @Body({ schema: updatePlanBody }) body: UpdatePlanBody,
  ) {
    return this.plans.update(caller, name, body);
  }

  @Delete(':plan')
  @Requires('plans:write', { operator: true })
  @ApiOperation({ summary: 'Delete a plan that no account has' })
  @NamesPlan()
  @IdempotencyKey()
  @Answers(204)
  delete(@CurrentCaller() caller: Caller, @Param('plan') name: string) {
    return this.plans.delete(caller, name);
  }
}

@ApiTags('Plans')
@Controller('v1/accounts/:account/limits')
export class AccountLimitsController {
  constructor(private readonly plans: PlansService) {}

  @Get()
  @Requires('accounts:read')
  @ApiOperation({ summary: 'The plan of an account, its limits, and what is used of them' })
  @Answers(200, accountLimitsShown)
  get(@CurrentCaller() caller: Caller, @Id('account') accountId: string) {
    return this.plans.limitsOf(caller, accountId);
  }
}
