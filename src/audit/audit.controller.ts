import { Controller, Get, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { Answers, Id } from '../http/http.decorators.js';
import {
  type AccountAuditQuery,
  accountAuditQuery,
  auditPage,
  type AuditQuery,
  auditQuery,
} from './audit.schema.js';
import { AuditService } from './audit.service.js';

@ApiTags('Audit log')
@Controller('v1/audit-log')
export class AuditController {
  constructor(private readonly audit: AuditService) {}

  @Get()
  @Requires('audit:read', { operator: true })
  @ApiOperation({ summary: 'Who did what, in every account and as the operator, newest first' })
  @Answers(200, auditPage)
  list(@CurrentCaller() caller: Caller, @Query({ schema: auditQuery }) query: AuditQuery) {
    return this.audit.list(caller, query);
  }
}

@ApiTags('Audit log')
@Controller('v1/accounts/:account/audit-log')
export class AccountAuditController {
  constructor(private readonly audit: AuditService) {}

  @Get()
  @Requires('audit:read')
  @ApiOperation({ summary: 'Who did what in the account, newest first' })
  @Answers(200, auditPage)
  list(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Query({ schema: accountAuditQuery }) query: AccountAuditQuery,
  ) {
    return this.audit.listOf(caller, accountId, query);
  }
}
