import { Inject, Injectable } from '@nestjs/common';
import type pg from 'pg';
import type { Logger } from 'pino';
import {
  ACCOUNT_NOTIFICATIONS_WORKFLOW,
  accountNotificationsWorkflowId,
  tellSignal,
} from '../../workflows/contracts.js';
import type { Caller } from '../auth/caller.js';
import { decodeCursor, type Page, toPage } from '../common/cursor.js';
import { toId, uuidV7 } from '../common/ids.js';
import type { ListQuery } from '../common/schemas.js';
import { Conditions } from '../database/conditions.js';
import { Database } from '../database/database.js';
import { accountOfEndpoint } from '../endpoints/account-of-endpoint.js';
import { LOGGER } from '../logging/logger.js';
import { isTemporalUnavailable, Temporal } from '../temporal/temporal.js';
import type { NotificationKind, NotificationShown } from './notifications.schema.js';

export type { NotificationKind } from './notifications.schema.js';

const START_WITHIN_MS = 5_000;
const MAX_LATE = 100;
/** A workflow that is there tries again by itself: each signal is kept in its history. */
const WOKEN_AGAIN_AFTER = '10 minutes';

export interface NewNotification {
  accountId: string;
  endpointId: string | null;
  kind: NotificationKind;
  /** No secret, and no URL beyond its origin: it leaves by e-mail. */
  data: Record<string, unknown>;
}

/** What an account is told of its endpoints. */
@Injectable()
export class NotificationsService {
  constructor(
    private readonly database: Database,
    private readonly temporal: Temporal,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Part of the transaction that makes it true; {@link wake} when that is committed. */
  async add(client: pg.PoolClient, notification: NewNotification): Promise<void> {
    await client.query(
      'INSERT INTO notifications (id, account_id, endpoint_id, kind, data) VALUES ($1, $2, $3, $4, $5)',
      [
        uuidV7(Date.now()),
        notification.accountId,
        notification.endpointId,
        notification.kind,
        JSON.stringify(notification.data),
      ],
    );
  }

  /** Has the account told. @param accountId UUID. @returns false where that has to be done once more */
  async wake(accountId: string): Promise<boolean> {
    const id = toId('account', accountId);
    try {
      await this.temporal.call(START_WITHIN_MS, (client) =>
        client.workflow.signalWithStart(ACCOUNT_NOTIFICATIONS_WORKFLOW, {
          workflowId: accountNotificationsWorkflowId(id),
          taskQueue: this.temporal.taskQueue,
          args: [{ accountId: id }],
          signal: tellSignal,
          signalArgs: [],
        }),
      );
      return true;
    } catch (error) {
      // What is pending is found by whoever looks for it.
      if (!isTemporalUnavailable(error))
        this.logger.error({ err: error, accountId: id }, 'notifications wait for their workflow');
      return false;
    }
  }

  /** Has the endpoint's account told of what is recorded already. @param endpointId UUID */
  async wakeFor(endpointId: string): Promise<void> {
    const accountId = await accountOfEndpoint(this.database, endpointId);
    if (accountId !== undefined) await this.wake(accountId);
  }

  /** Wakes what was not told in time: its workflow was lost, or never begun. */
  async wakeLate(lateSeconds: number): Promise<void> {
    const late = await this.database.prepared<{ account_id: string }>(
      'late_notifications',
      `WITH late AS (
         SELECT DISTINCT account_id FROM notifications
         WHERE pending AND created_at < now() - $1 * interval '1 second'
           AND (woken_at IS NULL OR woken_at < now() - interval '${WOKEN_AGAIN_AFTER}') LIMIT ${MAX_LATE}
       )
       UPDATE notifications n SET woken_at = now() FROM late WHERE n.account_id = late.account_id AND n.pending
       RETURNING n.account_id`,
      [lateSeconds],
    );
    const asleep: string[] = [];
    for (const accountId of new Set(late.map(({ account_id }) => account_id)))
      if (!(await this.wake(accountId))) asleep.push(accountId);
    if (asleep.length > 0)
      await this.database.prepared(
        'unwoken_notifications',
        'UPDATE notifications SET woken_at = NULL WHERE account_id = ANY ($1::uuid[]) AND pending',
        [asleep],
      );
  }

  async list(_caller: Caller, accountId: string, query: ListQuery): Promise<Page<NotificationShown>> {
    const conditions = new Conditions('account_id = ?', accountId);
    if (query.cursor !== undefined) conditions.and('id < ?', decodeCursor('notifications', query.cursor));
    const rows = await this.database.list<NotificationRow>(
      accountId,
      `SELECT id, endpoint_id, kind, data, created_at FROM notifications WHERE ${conditions.text}
        ORDER BY id DESC LIMIT ${query.limit + 1}`,
      conditions.values,
    );
    return toPage('notifications', rows, query.limit, (row) => ({
      id: toId('notification', row.id),
      kind: row.kind,
      endpointId: row.endpoint_id === null ? null : toId('endpoint', row.endpoint_id),
      data: row.data,
      createdAt: row.created_at.toISOString(),
    }));
  }
}

interface NotificationRow {
  id: string;
  endpoint_id: string | null;
  kind: NotificationKind;
  data: Record<string, unknown>;
  created_at: Date;
}
