import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { fromId, toId } from '../common/ids.js';
import { Problem } from '../common/problems.js';
import { OPERATIONAL_PREFIX } from '../common/schemas.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Database } from '../database/database.js';
import type { NewEvent } from '../events/new-event.js';
import { Publisher } from '../events/publisher.js';
import { LOGGER } from '../logging/logger.js';
import { MailRefusedError, Mailer } from './mailer.js';
import { compose } from './message.js';
import type { NotificationKind } from './notifications.schema.js';

/** Of one message. */
const MAX_TOLD = 200;
/** What the mail server has not taken by then is left to the list of notifications. */
const MAILED_WITHIN = '1 day';

/** Tells accounts what they are to know: by an event to their endpoints and the operator's, and by e-mail. */
@Injectable()
export class Notifier {
  private readonly operatorAccount: string | null;

  constructor(
    private readonly database: Database,
    private readonly publisher: Publisher,
    private readonly mailer: Mailer,
    @Inject(SETTINGS_TOKEN) settings: Settings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.operatorAccount =
      settings.OPERATOR_ACCOUNT === undefined ? null : fromId('account', settings.OPERATOR_ACCOUNT);
  }

  /** @param id `acc_…`. @throws when some of it is to be tried again */
  async sendById(id: string): Promise<void> {
    const accountId = fromId('account', id);
    if (accountId !== null) await this.send(accountId);
  }

  private async send(accountId: string): Promise<void> {
    for (;;) {
      const unpublished = await this.pending(accountId, 'unpublished');
      if (unpublished.length === 0) break;
      await this.publish(unpublished);
    }
    for (;;) {
      const pending = await this.pending(accountId, 'all');
      if (pending.length === 0) return;
      await this.mail(pending);
      await this.database.prepared(
        'told_notifications',
        'UPDATE notifications SET pending = false WHERE id = ANY ($1::uuid[])',
        [pending.map(({ id }) => id)],
      );
    }
  }

  /** Whatever the mail server makes of them, all are published. */
  private pending(accountId: string, which: 'all' | 'unpublished'): Promise<PendingRow[]> {
    return this.database.prepared<PendingRow>(
      `pending_notifications_${which}`,
      `SELECT n.id, n.account_id, n.endpoint_id, n.kind, n.data, n.created_at, a.name AS account_name,
         a.notification_emails AS emails, n.created_at < now() - interval '${MAILED_WITHIN}' AS late
        FROM notifications n JOIN accounts a ON a.id = n.account_id
        WHERE n.account_id = $1 AND n.pending${which === 'all' ? '' : ' AND n.published_at IS NULL'}
        ORDER BY n.id LIMIT ${MAX_TOLD}`,
      [accountId],
    );
  }

  /** Published twice it is one event: its external id says so. */
  private async publish(rows: PendingRow[]): Promise<void> {
    const [{ account_id: own } = { account_id: '' }] = rows;
    await this.publisher.publish(rows.map((row) => eventOf(row, own)));
    const operator = this.operatorAccount;
    if (operator !== null && operator !== own) {
      await this.publisher.publish(rows.map((row) => eventOf(row, operator))).catch((error: unknown) => {
        if (!(error instanceof Problem && error.code === 'not_found')) throw error;
        this.logger.error('the account of POSTHORN_OPERATOR_ACCOUNT does not exist');
      });
    }
    await this.database.prepared(
      'published_notifications',
      'UPDATE notifications SET published_at = now() WHERE id = ANY ($1::uuid[])',
      [rows.map(({ id }) => id)],
    );
  }

  /** Marked before it is sent: a process that dies in between leaves it to the list of notifications, and nobody gets it twice. */
  private async mail(rows: PendingRow[]): Promise<void> {
    const [first] = rows;
    if (!first || !this.mailer.isConfigured || first.emails.length === 0) return;
    const marked = await this.database.prepared<{ id: string }>(
      'mark_mailed',
      'UPDATE notifications SET mailed_at = now() WHERE id = ANY ($1::uuid[]) AND mailed_at IS NULL RETURNING id',
      [rows.filter(({ late }) => !late).map(({ id }) => id)],
    );
    const ids = new Set(marked.map(({ id }) => id));
    const unsent = rows.filter(({ id }) => ids.has(id));
    const [leading] = unsent;
    if (!leading) return;
    const message = compose(
      first.account_name,
      unsent.map((row) => ({
        endpointId: endpointOf(row),
        kind: row.kind,
        data: row.data,
        createdAt: row.created_at,
      })),
    );
    try {
      await this.mailer.send(toId('notification', leading.id), first.emails, message);
    } catch (error) {
      if (error instanceof MailRefusedError && !error.isFinal) {
        await this.database.prepared(
          'unmark_mailed',
          // Another run may have found them marked, and taken them for told.
          'UPDATE notifications SET mailed_at = NULL, pending = true WHERE id = ANY ($1::uuid[])',
          [[...ids]],
        );
        throw error;
      }
      this.logger.error(
        { err: error, accountId: toId('account', first.account_id) },
        'a notification was not mailed',
      );
    }
  }
}

interface PendingRow {
  id: string;
  account_id: string;
  endpoint_id: string | null;
  kind: NotificationKind;
  data: Record<string, unknown>;
  created_at: Date;
  account_name: string;
  emails: string[];
  /** Whether it has become too old for an e-mail. */
  late: boolean;
}

const eventOf = (row: PendingRow, accountId: string): NewEvent => ({
  accountId,
  externalId: `${OPERATIONAL_PREFIX}${toId('notification', row.id)}`,
  type: `${OPERATIONAL_PREFIX}${row.kind}`,
  timestamp: row.created_at.toISOString(),
  version: '1',
  tags: [],
  priority: null,
  data: JSON.stringify({
    accountId: toId('account', row.account_id),
    endpointId: endpointOf(row),
    ...row.data,
  }),
});

const endpointOf = (row: PendingRow): string | null =>
  row.endpoint_id === null ? null : toId('endpoint', row.endpoint_id);
