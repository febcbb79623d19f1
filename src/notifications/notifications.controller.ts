import { Controller, Get, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentCaller, Requires } from '../auth/auth.decorators.js';
import type { Caller } from '../auth/caller.js';
import { listQuery, type ListQuery } from '../common/schemas.js';
import { Answers, Id } from '../http/http.decorators.js';
import { notificationPage } from './notifications.schema.js';
import { NotificationsService } from './notifications.service.js';

@ApiTags('Notifications')
@Controller('v1/accounts/:account/notifications')
export class NotificationsController {
  constructor(private readonly notifications: NotificationsService) {}

  @Get()
  @Requires('endpoints:read')
  @ApiOperation({ summary: 'What the account was told of its endpoints, newest first' })
  @Answers(200, notificationPage)
  list(
    @CurrentCaller() caller: Caller,
    @Id('account') accountId: string,
    @Query({ schema: listQuery }) query: ListQuery,
  ) {
    return this.notifications.list(caller, accountId, query);
  }
}
