import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database } from '../database/database.js';
import { Gathered } from '../database/gathered.js';
import { LOGGER } from '../logging/logger.js';
import { NotificationsService } from './notifications.service.js';

const WRITE_AFTER_MS = 500;

/** What of an endpoint's own may fail before anything is sent: its owner alone can mend it. */
type Failing = 'filter' | 'transform';

/** Tells owners what of their endpoints fails, once an hour at most for each, however many processes see it. */
@Injectable()
export class EndpointWarnings {
  private readonly gathered: Record<Failing, Gathered<true>>;

  constructor(
    private readonly database: Database,
    private readonly notifications: NotificationsService,
    @Inject(LOGGER) logger: Logger,
  ) {
    const gather = (failing: Failing) =>
      new Gathered<true>({
        write: (noted) => this.tell(failing, [...noted.keys()]),
        afterMs: WRITE_AFTER_MS,
        logger,
        complaint: `owners could not be told that a ${failing} of theirs fails`,
      });
    this.gathered = { filter: gather('filter'), transform: gather('transform') };
  }

  /** @param endpointId UUID */
  note(failing: Failing, endpointId: string): void {
    this.gathered[failing].note(endpointId, true);
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.gathered).map((gathered) => gathered.close()));
  }

  private async tell(failing: Failing, endpointIds: string[]): Promise<void> {
    const told = await this.database.prepared<{ account_id: string }>(
      `tell_${failing}_failing`,
      tellOf(failing),
      [endpointIds],
    );
    for (const accountId of new Set(told.map(({ account_id }) => account_id)))
      await this.notifications.wake(accountId);
  }
}

const tellOf = (failing: Failing): string => `
  WITH due AS (
    SELECT id, account_id, url FROM endpoints WHERE id = ANY ($1::uuid[]) AND deleted_at IS NULL
      AND (${failing}_warned_at IS NULL OR ${failing}_warned_at <= now() - interval '1 hour')
    ORDER BY id FOR NO KEY UPDATE
  ), warned AS (
    UPDATE endpoints e SET ${failing}_warned_at = now() FROM due WHERE e.id = due.id
  )
  INSERT INTO notifications (id, account_id, endpoint_id, kind, data)
    SELECT posthorn_uuid_v7(), account_id, id, 'endpoint.${failing}_failing',
      json_build_object('endpointOrigin', substring(url FROM '^[a-z]+://[^/?#]+'), 'lastError', '${failing}_error')
    FROM due
  RETURNING account_id`;
