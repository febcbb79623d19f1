import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { fromId } from '../common/ids.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Database } from '../database/database.js';
import { Gathered } from '../database/gathered.js';
import { Reconciler } from '../dispatch/reconciler.js';
import { LOGGER } from '../logging/logger.js';
import { NotificationsService } from '../notifications/notifications.service.js';
import type { Edge } from './conversion-paths.js';
import { retryUnconverted } from './conversion-record.js';

/** Long enough for what has failed to be recorded. */
const WRITE_AFTER_MS = 1_000;

/**
 * Tells the operator that a conversion fails, once an hour at most, however many processes see it: it is the provider who
 * mends it. What failed by one that has just been replaced is tried again at once.
 */
@Injectable()
export class ConversionFailures {
  /** Types, by the id of what has failed. */
  private readonly gathered: Gathered<string>;
  private readonly operatorAccount: string | null;

  constructor(
    private readonly database: Database,
    private readonly notifications: NotificationsService,
    private readonly reconciler: Reconciler,
    @Inject(SETTINGS_TOKEN) { OPERATOR_ACCOUNT: id }: Settings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.operatorAccount = id === undefined ? null : fromId('account', id);
    this.gathered = new Gathered({
      write: async (failing) => {
        await this.tell([...failing.keys()]);
        await this.retryReplaced(failing);
      },
      afterMs: WRITE_AFTER_MS,
      logger,
      complaint: 'the operator could not be told of failing conversions',
    });
  }

  note(type: string, { id }: Edge): void {
    this.gathered.note(id, type);
  }

  close(): Promise<void> {
    return this.gathered.close();
  }

  private async tell(ids: string[]): Promise<void> {
    const told = await this.database.prepared<ToldRow>('tell_conversion_failing', TELL, [
      ids,
      this.operatorAccount,
    ]);
    for (const { type, from_version: from, to_version: to } of told)
      this.logger.error({ type, from, to }, 'a conversion between versions of an event type fails');
    if (told.length > 0 && this.operatorAccount !== null) await this.notifications.wake(this.operatorAccount);
  }

  /** An attempt that was under way when a conversion was changed is recorded after what waited was retried. */
  private async retryReplaced(failing: ReadonlyMap<string, string>): Promise<void> {
    const current = await this.database.prepared<{ id: string }>(
      'current_conversions',
      'SELECT id FROM event_type_conversions WHERE id = ANY ($1::uuid[])',
      [[...failing.keys()]],
    );
    const ids = new Set(current.map(({ id }) => id));
    const types = new Set([...failing].filter(([id]) => !ids.has(id)).map(([, type]) => type));
    for (const type of types) await retryUnconverted(this.database, type);
    if (types.size > 0) this.reconciler.nudge();
  }
}

interface ToldRow {
  type: string;
  from_version: string;
  to_version: string;
}

const TELL = `
  WITH due AS (
    UPDATE event_type_conversions SET warned_at = now()
      WHERE id = ANY ($1::uuid[]) AND (warned_at IS NULL OR warned_at <= now() - interval '1 hour')
      RETURNING type, from_version, to_version
  ), told AS (
    INSERT INTO notifications (id, account_id, endpoint_id, kind, data)
      SELECT posthorn_uuid_v7(), a.id, NULL, 'event_type.conversion_failing',
        json_build_object('eventType', due.type, 'fromVersion', due.from_version, 'toVersion', due.to_version,
          'lastError', 'conversion_error')
      FROM due JOIN accounts a ON a.id = $2::uuid
  )
  SELECT type, from_version, to_version FROM due`;
