import { Injectable } from '@nestjs/common';
import type pg from 'pg';
import { fromId } from '../common/ids.js';
import { parseUrl } from '../common/parse-url.js';
import { Database } from '../database/database.js';
import { dueWarnings, nextWarningInMs } from '../notifications/due-warnings.js';
import { NotificationsService } from '../notifications/notifications.service.js';

/** Days before the end of a certificate at which its owner is told. */
export const WARNING_DAYS = [30, 7, 1] as const;
/** Endpoints that one statement finds. */
const PAGE = 500;

interface TendedEndpoint {
  account_id: string;
  url: string;
  expires_at: Date | null;
  warned_days: number | null;
  now: Date;
}

/** Removes secrets whose overlap is over, and tells owners that a certificate ends. Each warning is told once. */
@Injectable()
export class CredentialExpiry {
  constructor(
    private readonly database: Database,
    private readonly notifications: NotificationsService,
  ) {}

  /** What the endpoint-credentials workflow calls itself by. @param id `ep_…` */
  async tendById(id: string): Promise<number | null> {
    const endpointId = fromId('endpoint', id);
    return endpointId === null ? null : this.tend(endpointId);
  }

  /** Sees to all that is late: its workflow was lost, or Temporal is away. */
  async run(): Promise<void> {
    for (;;) {
      const late = await this.database.query<{ id: string }>(
        `SELECT endpoint_id AS id FROM endpoint_secrets WHERE expires_at <= now()
          UNION SELECT id FROM endpoints e, unnest($1::int[]) AS w (days)
            WHERE deleted_at IS NULL AND certificate_expires_at <= now() + w.days * interval '1 day'
              AND (certificate_warned_days IS NULL OR certificate_warned_days > w.days)
          LIMIT ${PAGE}`,
        [WARNING_DAYS],
      );
      if (late.length === 0) return;
      for (const { id } of late) await this.tend(id);
    }
  }

  /**
   * @param endpointId UUID
   * @returns milliseconds until something ends or is to be told; null when nothing will
   */
  private async tend(endpointId: string): Promise<number | null> {
    const tended = await this.database.transaction(async (client) => {
      const { rows } = await client.query<TendedEndpoint>(
        `SELECT account_id, url, certificate_expires_at AS expires_at, certificate_warned_days AS warned_days, now() AS now
          FROM endpoints WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE`,
        [endpointId],
      );
      const [endpoint] = rows;
      if (!endpoint) return null;
      const warnedDays = await this.warn(client, endpointId, endpoint);
      const secretsInMs = await endSecrets(client, endpointId);
      const warningInMs =
        endpoint.expires_at &&
        nextWarningInMs(WARNING_DAYS, endpoint.expires_at.getTime(), warnedDays, endpoint.now.getTime());
      const moments = [secretsInMs, warningInMs].filter((ms) => ms !== null);
      return {
        accountId: endpoint.account_id,
        isNews: warnedDays !== endpoint.warned_days,
        againInMs: moments.length === 0 ? null : Math.min(...moments),
      };
    });
    if (tended?.isNews) await this.notifications.wake(tended.accountId);
    return tended?.againInMs ?? null;
  }

  /** @returns the latest warning that was told by now */
  private async warn(
    client: pg.PoolClient,
    endpointId: string,
    { account_id: accountId, url, expires_at: expiresAt, warned_days: warnedDays, now }: TendedEndpoint,
  ): Promise<number | null> {
    if (
      expiresAt === null ||
      nextWarningInMs(WARNING_DAYS, expiresAt.getTime(), warnedDays, now.getTime()) !== 0
    )
      return warnedDays;
    // Of several that have come due together, the last one says it all.
    const days = Math.min(...dueWarnings(WARNING_DAYS, expiresAt.getTime(), now.getTime()));
    await client.query('UPDATE endpoints SET certificate_warned_days = $2 WHERE id = $1', [endpointId, days]);
    await this.notifications.add(client, {
      accountId,
      endpointId,
      kind: 'endpoint.certificate_expiring',
      data: {
        endpointOrigin: parseUrl(url)?.origin ?? null,
        certificateExpiresAt: expiresAt.toISOString(),
        days,
      },
    });
    return days;
  }
}

/** @returns milliseconds until the next one ends; null when none will */
async function endSecrets(client: pg.PoolClient, endpointId: string): Promise<number | null> {
  await client.query('DELETE FROM endpoint_secrets WHERE endpoint_id = $1 AND expires_at <= now()', [
    endpointId,
  ]);
  const { rows } = await client.query<{ in_ms: number | null }>(
    `SELECT ceil(extract(epoch FROM min(expires_at) - now()) * 1000)::float8 AS in_ms
      FROM endpoint_secrets WHERE endpoint_id = $1`,
    [endpointId],
  );
  return rows[0]?.in_ms ?? null;
}
