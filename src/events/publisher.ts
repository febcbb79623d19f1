import { Injectable } from '@nestjs/common';
import { toId, UuidV7Sequence } from '../common/ids.js';
import { MicroBatch } from '../common/micro-batch.js';
import { notFound, Problem } from '../common/problems.js';
import { Database } from '../database/database.js';
import { type DispatchItem, Dispatcher } from '../dispatch/dispatcher.js';
import { Metrics } from '../metrics/metrics.js';
import type { Published } from './events.schema.js';

/** One event on its way into the database. */
export interface NewEvent {
  accountId: string;
  externalId: string | null;
  type: string;
  /** RFC 3339, or null for the moment of publishing. */
  timestamp: string | null;
  version: string;
  tags: string[];
  priority: string | null;
  /** JSON text as the publisher sent it. */
  data: string;
}

const MAX_PUBLISHES_PER_COMMIT = 500;
/** Events that may wait for their commit; past this a publisher is told to come back instead of filling memory. */
const MAX_WAITING = 10_000;
const MAX_BYTES_PER_COMMIT = 8 * 1024 * 1024;

/**
 * Commits events and their deliveries together, many publishers to one statement. Endpoints are matched inside the
 * statement, so one that was made before the publish was sent is seen, whichever process made it.
 */
@Injectable()
export class Publisher {
  private readonly batches: MicroBatch<NewEvent[], (Published | null)[]>;
  private readonly ids = new UuidV7Sequence();
  private waiting = 0;

  constructor(
    private readonly database: Database,
    private readonly dispatcher: Dispatcher,
    private readonly metrics: Metrics,
  ) {
    this.batches = new MicroBatch((publishes) => this.commitAll(publishes), {
      maxItems: MAX_PUBLISHES_PER_COMMIT,
      // One commit under way, one being prepared: more only makes the batches smaller.
      concurrency: 2,
      weigh: (events) => events.reduce((bytes, { data }) => bytes + data.length, 0),
      maxWeight: MAX_BYTES_PER_COMMIT,
    });
  }

  /**
   * Resolves once the events of one account and their deliveries are committed: all of them, or none.
   *
   * @throws Problem `not_found` for an unknown account, `unavailable` under overload
   */
  async publish(events: NewEvent[]): Promise<Published[]> {
    if (this.waiting >= MAX_WAITING) {
      throw new Problem('unavailable', 'More events are waiting to be committed than this process takes.', {
        retryAfterSeconds: 1,
      });
    }
    this.waiting += events.length;
    try {
      const results = await this.batches.add(events);
      return results.map((result) => {
        if (!result) throw notFound('account');
        return result;
      });
    } finally {
      this.waiting -= events.length;
    }
  }

  async drained(): Promise<void> {
    await this.batches.drained();
  }

  private async commitAll(publishes: NewEvent[][]): Promise<(Published | null)[][]> {
    const results = (await this.commit(publishes.flat())).values();
    return publishes.map((events) => events.map(() => results.next().value ?? null));
  }

  private async commit(events: NewEvent[]): Promise<(Published | null)[]> {
    const now = Date.now();
    const firsts = new Map<string, number>();
    const rows: (NewEvent & { id: string; at: Date })[] = [];
    // Two of the same external id in one batch: the first is published, the others learn of it.
    const sources = events.map((event) => {
      const key = event.externalId === null ? null : `${event.accountId}/${event.externalId}`;
      const first = key === null ? undefined : firsts.get(key);
      if (first !== undefined) return { row: first, first: false };
      if (key !== null) firsts.set(key, rows.length);
      rows.push({
        ...event,
        id: this.ids.next(now),
        at: event.timestamp === null ? new Date(now) : new Date(event.timestamp),
      });
      return { row: rows.length - 1, first: true };
    });

    const inserted = new Map<string, InsertedRow>();
    for (const row of await this.insert(rows)) inserted.set(row.id, row);
    const claimed = await this.findClaimed(rows.filter((row) => inserted.get(row.id)?.fresh === false));

    const items: DispatchItem[] = [];
    for (const row of rows) {
      const result = inserted.get(row.id);
      result?.delivery_ids?.forEach((deliveryId, index) => {
        items.push({
          deliveryId,
          accountId: row.accountId,
          eventId: row.id,
          endpointId: result.endpoint_ids?.[index] ?? '',
          eventType: row.type,
          url: result.urls?.[index] ?? '',
        });
      });
    }
    this.dispatcher.offer(items);
    this.metrics.publishedEvents(rows.filter((row) => inserted.get(row.id)?.fresh).length);

    return sources.map(({ row: index, first }) => {
      const row = rows[index];
      const result = row && inserted.get(row.id);
      if (!row || !result) return null;
      const earlier = claimed.get(row.id);
      if (earlier) return { ...earlier, duplicate: true };
      return {
        id: toId('event', row.id),
        externalId: row.externalId,
        type: row.type,
        timestamp: row.at.toISOString(),
        duplicate: !first,
        matched: result.matched,
      };
    });
  }

  private insert(rows: (NewEvent & { id: string; at: Date })[]): Promise<InsertedRow[]> {
    return this.database.prepared<InsertedRow>('publish', PUBLISH, [
      rows.map((row) => row.id),
      rows.map((row) => row.accountId),
      rows.map((row) => row.externalId),
      rows.map((row) => row.type),
      rows.map((row) => row.at),
      rows.map((row) => row.version),
      rows.map((row) => JSON.stringify(row.tags)),
      rows.map((row) => row.priority),
      rows.map((row) => row.data),
    ]);
  }

  /** The earlier events that hold these rows' external ids, by row id. */
  private async findClaimed(rows: { id: string; accountId: string; externalId: string | null }[]) {
    const found = new Map<string, Published>();
    if (rows.length === 0) return found;
    const earlier = await this.database.prepared<ClaimedRow>('find_claimed', FIND_CLAIMED, [
      rows.map((row) => row.id),
      rows.map((row) => row.accountId),
      rows.map((row) => row.externalId),
    ]);
    for (const row of earlier) {
      found.set(row.asked_by, {
        id: toId('event', row.id),
        externalId: row.external_id,
        type: row.type,
        timestamp: row.occurred_at.toISOString(),
        duplicate: true,
        matched: row.matched,
      });
    }
    return found;
  }
}

interface InsertedRow {
  id: string;
  /** False when the external id was taken already. */
  fresh: boolean;
  matched: number;
  delivery_ids: string[] | null;
  endpoint_ids: string[] | null;
  urls: string[] | null;
}

interface ClaimedRow {
  asked_by: string;
  id: string;
  external_id: string;
  type: string;
  occurred_at: Date;
  matched: number;
}

/** Seconds after which another process may take a delivery that nobody has started. */
const START_GRACE = 10;

/**
 * External ids are claimed in one order, so that two batches never wait for each other. A delivery that is held or
 * skipped by what this statement saw of its endpoint is looked at once more after a moment: the endpoint may have been
 * resumed while it ran. Only deliveries that are to be sent at once come back.
 */
const PUBLISH = `
  WITH input AS (
    SELECT i.* FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::text[],
      $8::text[], $9::text[]) AS i (id, account_id, external_id, type, occurred_at, version, tags, priority, data)
    JOIN accounts a ON a.id = i.account_id
  ), claimed AS (
    INSERT INTO event_external_ids (account_id, external_id, event_id)
    SELECT account_id, external_id, id FROM input WHERE external_id IS NOT NULL ORDER BY account_id, external_id
    ON CONFLICT DO NOTHING RETURNING event_id
  ), fresh AS (
    SELECT * FROM input WHERE external_id IS NULL OR id IN (SELECT event_id FROM claimed)
  ), matches AS (
    SELECT posthorn_uuid_v7() AS id, f.id AS event_id, f.account_id, f.type, e.id AS endpoint_id, e.url,
      CASE WHEN e.disabled_reason IS NOT NULL THEN 'skipped' WHEN e.paused THEN 'held' ELSE 'pending' END AS status
    FROM fresh f JOIN endpoints e ON e.account_id = f.account_id AND e.deleted_at IS NULL
    WHERE e.event_types IS NULL OR f.type = ANY (e.event_types) OR EXISTS (
      SELECT FROM unnest(e.event_types) AS pattern
      WHERE right(pattern, 2) = '.*' AND starts_with(f.type, left(pattern, -1)))
  ), counted AS (
    SELECT event_id, count(*)::int AS matched,
      array_agg(id) FILTER (WHERE status = 'pending') AS delivery_ids,
      array_agg(endpoint_id) FILTER (WHERE status = 'pending') AS endpoint_ids,
      array_agg(url) FILTER (WHERE status = 'pending') AS urls
    FROM matches GROUP BY event_id
  ), new_events AS (
    INSERT INTO events (id, account_id, external_id, type, occurred_at, version, tags, priority, data, matched)
    SELECT f.id, f.account_id, f.external_id, f.type, f.occurred_at, f.version,
      ARRAY(SELECT json_array_elements_text(f.tags::json)), f.priority, f.data, coalesce(c.matched, 0)
    FROM fresh f LEFT JOIN counted c ON c.event_id = f.id
  ), new_deliveries AS (
    INSERT INTO deliveries (id, account_id, event_id, endpoint_id, event_type, status, status_reason, due_at)
    SELECT id, account_id, event_id, endpoint_id, type, status,
      CASE status WHEN 'held' THEN 'endpoint_paused' WHEN 'skipped' THEN 'endpoint_disabled' END,
      CASE status WHEN 'held' THEN now() + interval '2 seconds'
                  WHEN 'pending' THEN now() + interval '${START_GRACE} seconds' END
    FROM matches
  )
  SELECT i.id, f.id IS NOT NULL AS fresh, coalesce(c.matched, 0) AS matched, c.delivery_ids, c.endpoint_ids, c.urls
  FROM input i LEFT JOIN fresh f ON f.id = i.id LEFT JOIN counted c ON c.event_id = i.id`;

const FIND_CLAIMED = `
  SELECT i.id AS asked_by, e.id, e.external_id, e.type, e.occurred_at, e.matched
  FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS i (id, account_id, external_id)
  JOIN event_external_ids x ON x.account_id = i.account_id AND x.external_id = i.external_id
  JOIN events e ON e.id = x.event_id`;
