import { Injectable } from '@nestjs/common';
import type pg from 'pg';
import { parseUrl } from '../common/parse-url.js';
import { Database } from '../database/database.js';
import { dueWarnings } from '../notifications/due-warnings.js';
import { NotificationsService } from '../notifications/notifications.service.js';
import { EventCatalogue } from './event-catalogue.js';
import type { AfterSunset } from './version-life.js';

/** Days before the sunset of a version at which the owners of endpoints that pin it are told. */
const WARNING_DAYS = [90, 30, 7] as const;
const PAGE = 500;

interface PinnedRow {
  id: string;
  account_id: string;
  url: string;
  type: string;
  version: string;
  sunset_at: Date;
  after_sunset: AfterSunset;
  now: Date;
}

/**
 * Tells owners that a version which their endpoints pin ends, and stores the pins that have moved. Any process may look at
 * any time: each warning is told once. What an attempt does is decided by the dates, whether this has run or not.
 */
@Injectable()
export class VersionSunsets {
  constructor(
    private readonly database: Database,
    private readonly notifications: NotificationsService,
    private readonly catalogue: EventCatalogue,
  ) {}

  async run(): Promise<void> {
    for (;;) {
      const told = await this.database.transaction((client) => this.warn(client));
      for (const accountId of told) await this.notifications.wake(accountId);
      if (told.size === 0) break;
    }
    await this.move();
  }

  /** @returns the accounts that are to be told something */
  private async warn(client: pg.PoolClient): Promise<Set<string>> {
    const { rows } = await client.query<PinnedRow>(
      `SELECT e.id, e.account_id, e.url, v.type, v.version, v.sunset_at, v.after_sunset, now() AS now
        FROM event_type_versions v
        JOIN endpoints e ON e.deleted_at IS NULL AND e.event_versions IS NOT NULL
          AND e.event_versions @> jsonb_build_object(v.type, v.version)
        WHERE v.sunset_at > now() AND v.sunset_at <= now() + (SELECT max(days) FROM unnest($1::int[]) AS w (days)) * interval '1 day'
          AND NOT EXISTS (
            SELECT FROM event_type_sunset_warnings s WHERE s.endpoint_id = e.id AND s.type = v.type AND s.version = v.version
              AND s.days <= (SELECT min(days) FROM unnest($1::int[]) AS w (days)
                WHERE v.sunset_at <= now() + w.days * interval '1 day'))
        ORDER BY e.id, v.type LIMIT ${PAGE} FOR UPDATE OF e SKIP LOCKED`,
      [WARNING_DAYS],
    );
    const accounts = new Set<string>();
    for (const row of rows) if (await this.warnOf(client, row)) accounts.add(row.account_id);
    return accounts;
  }

  /** @returns false where another process has just told it */
  private async warnOf(client: pg.PoolClient, row: PinnedRow): Promise<boolean> {
    // Of several that have come due together, the last one says it all.
    const days = Math.min(...dueWarnings(WARNING_DAYS, row.sunset_at.getTime(), row.now.getTime()));
    const { rowCount } = await client.query(
      `INSERT INTO event_type_sunset_warnings AS s (endpoint_id, type, version, days) VALUES ($1, $2, $3, $4)
        ON CONFLICT (endpoint_id, type, version) DO UPDATE SET days = excluded.days WHERE s.days > excluded.days`,
      [row.id, row.type, row.version, days],
    );
    if (rowCount === 0) return false;
    await this.notifications.add(client, {
      accountId: row.account_id,
      endpointId: row.id,
      kind: 'event_type.sunset',
      data: {
        endpointOrigin: parseUrl(row.url)?.origin ?? null,
        eventType: row.type,
        version: row.version,
        sunsetAt: row.sunset_at.toISOString(),
        afterSunset: row.after_sunset,
        days,
      },
    });
    return true;
  }

  /** Stores what deliveries go by already, so that it is shown. */
  private async move(): Promise<void> {
    const over = await this.database.query<{ type: string; version: string }>(
      `SELECT type, version FROM event_type_versions WHERE sunset_at <= now() AND after_sunset = 'move'`,
      [],
    );
    for (const { type, version } of over) {
      const pin = this.catalogue.pinOf(type, version);
      if (pin === 'stopped' || pin.version === null || pin.version === version) continue;
      for (;;) {
        const moved = await this.database.query<{ id: string }>(
          `UPDATE endpoints SET event_versions = event_versions || jsonb_build_object($1::text, $3::text)
            WHERE id IN (SELECT id FROM endpoints WHERE deleted_at IS NULL AND event_versions IS NOT NULL
              AND event_versions @> jsonb_build_object($1::text, $2::text) LIMIT ${PAGE} FOR UPDATE SKIP LOCKED)
            RETURNING id`,
          [type, version, pin.version],
        );
        if (moved.length < PAGE) break;
      }
    }
  }
}
