import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import type { Caller } from '../auth/caller.js';
import { notFound } from '../common/problems.js';
import { eventType } from '../common/schemas.js';
import { Database, isUnavailable } from '../database/database.js';
import { LOGGER } from '../logging/logger.js';
import { EventCatalogue } from './event-catalogue.js';
import type { EventTypeUsageShown } from './event-types.schema.js';

const WRITE_EVERY_MS = 1_000;
/** Stands for all that is no registered version. */
const OTHERS = '';

interface Counts {
  events: number;
  deliveries: number;
}

/**
 * Counts by event type and version what this process publishes and delivers, and writes the sums now and then: an event
 * itself costs the database nothing. A process that is killed takes its last second of counts with it, and no more than
 * counts. Types that are not registered are not counted.
 */
@Injectable()
export class EventTypeUsage {
  private counts = new Map<string, Map<string, Counts>>();
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly database: Database,
    private readonly catalogue: EventCatalogue,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  open(): void {
    this.timer = setInterval(() => this.enqueue(), WRITE_EVERY_MS);
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    this.enqueue();
    await this.writing;
  }

  published(type: string, version: string): void {
    const counts = this.countsOf(type, version);
    if (counts) counts.events += 1;
  }

  /** @param version in which it goes to the endpoint */
  delivered(type: string, version: string): void {
    const counts = this.countsOf(type, version);
    if (counts) counts.deliveries += 1;
  }

  /** @throws Problem `not_found` */
  async show(_caller: Caller, type: string): Promise<EventTypeUsageShown> {
    if (!eventType.safeParse(type).success) throw notFound('event type');
    const [row] = await this.database.prepared<UsageRow>('event_type_usage', READ, [type]);
    if (!row) throw notFound('event type');
    const versions = (row.versions ?? []).map(({ version, endpoints }) => ({
      version,
      ...shown(row, version),
      endpoints,
    }));
    return { type, versions, others: shown(row, OTHERS) };
  }

  private countsOf(type: string, version: string): Counts | undefined {
    const versions = this.catalogue.versionsOf(type);
    if (!versions) return undefined;
    const key = versions.some((known) => known.version === version) ? version : OTHERS;
    let ofType = this.counts.get(type);
    if (!ofType) this.counts.set(type, (ofType = new Map<string, Counts>()));
    let counts = ofType.get(key);
    if (!counts) ofType.set(key, (counts = { events: 0, deliveries: 0 }));
    return counts;
  }

  /** One after the other, so that nothing is written after the last. */
  private enqueue(): void {
    this.writing = this.writing.then(() => this.write());
  }

  private async write(): Promise<void> {
    if (this.counts.size === 0) return;
    const rows = [...this.counts].flatMap(([type, versions]) =>
      [...versions].map(([version, counts]) => ({ type, version, ...counts })),
    );
    this.counts = new Map();
    try {
      await this.database.prepared('add_event_type_usage', ADD, [JSON.stringify(rows)]);
    } catch (error) {
      for (const { type, version, events, deliveries } of rows) {
        const counts = this.countsOf(type, version);
        if (!counts) continue;
        counts.events += events;
        counts.deliveries += deliveries;
      }
      if (!isUnavailable(error))
        this.logger.error({ err: error }, 'the use of event types could not be written');
    }
  }
}

interface UsageRow {
  versions: { version: string; endpoints: number }[] | null;
  /** By version. */
  counts: Record<
    string,
    Record<'events_day' | 'events_week' | 'deliveries_day' | 'deliveries_week', number>
  > | null;
}

function shown({ counts }: UsageRow, version: string) {
  const own = counts && Object.hasOwn(counts, version) ? counts[version] : undefined;
  return {
    events: { last24Hours: own?.events_day ?? 0, last7Days: own?.events_week ?? 0 },
    deliveries: { last24Hours: own?.deliveries_day ?? 0, last7Days: own?.deliveries_week ?? 0 },
  };
}

/** Rows are locked in one order, so that two processes never wait for each other. */
const ADD = `
  INSERT INTO event_type_usage AS u (type, hour, version, events, deliveries)
  SELECT type, date_trunc('hour', now()), version, events, deliveries
  FROM json_to_recordset($1::json) AS i (type text, version text, events bigint, deliveries bigint)
  ORDER BY type, version
  ON CONFLICT (type, hour, version) DO UPDATE SET events = u.events + excluded.events,
    deliveries = u.deliveries + excluded.deliveries`;

const DAY = `hour > now() - interval '24 hours'`;
const sumOf = (column: string) =>
  `'${column}_day', coalesce(sum(${column}) FILTER (WHERE ${DAY}), 0), '${column}_week', sum(${column})`;

const READ = `
  SELECT (
    SELECT json_agg(json_build_object('version', v.version, 'endpoints', (
      SELECT count(*) FROM endpoints e WHERE e.deleted_at IS NULL AND e.event_versions IS NOT NULL
        AND e.event_versions @> jsonb_build_object(t.name, v.version))) ORDER BY v.position)
    FROM event_type_versions v WHERE v.type = t.name) AS versions, (
    SELECT json_object_agg(version, counts) FROM (
      SELECT version, json_build_object(${sumOf('events')}, ${sumOf('deliveries')}) AS counts
      FROM event_type_usage WHERE type = t.name AND hour > now() - interval '7 days' GROUP BY version) c) AS counts
  FROM event_types t WHERE t.name = $1`;

/** Removes what no report counts any more. */
export const FORGET_USAGE = `DELETE FROM event_type_usage WHERE hour < now() - interval '8 days'`;
