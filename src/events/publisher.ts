import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { toId, UuidV7Sequence } from '../common/ids.js';
import { MicroBatch } from '../common/micro-batch.js';
import { type Priority, priorityLevel } from '../common/priority.js';
import { notFound, Problem } from '../common/problems.js';
import { Database, type HotStatement } from '../database/database.js';
import { FanOut } from './fan-out.js';
import {
  makeDeliveries,
  MATCHING_COLUMNS,
  type MatchedRow,
  NewDeliveries,
  type NewDeliveryTerms,
  OFFERED_COLUMNS,
  takesType,
} from './new-deliveries.js';
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
  priority: Priority | null;
  /** JSON text as the publisher sent it. */
  data: string;
}

const MAX_PUBLISHES_PER_COMMIT = 100;
/** Events that may wait for their commit; past this a publisher is told to come back instead of filling memory. */
const MAX_WAITING = 10_000;
/** Publishes that an account may have under way at once without leaving room to others. */
const CALM = 16;
/** For how long an account that does not flood is expected back. */
const CALM_FOR_MS = 10_000;
/** Between the commits of floods while others are here: whoever publishes as fast as it is answered slows down. */
const FLOOD_SPACING_MS = 30;
/** How long many events at once leave to others after their commit, as a multiple of what that took. */
const MANY_REST = 3;
/** How long many events at once wait for those under way that are one by one. */
const YIELD = { stepMs: 2, mostMs: 20 };
const MAX_BYTES_PER_COMMIT = 8 * 1024 * 1024;
/** Deliveries of one commit; events that would take it past this are matched page by page after it. */
const MAX_DELIVERIES_PER_COMMIT = 2_000;

/**
 * Commits events and their deliveries together, many publishers to one statement. Endpoints are matched inside the
 * statement, so one that was made or changed before the publish was sent is seen, whichever process did it.
 */
@Injectable()
export class Publisher {
  private readonly singles: MicroBatch<NewEvent[], (Published | null)[]>;
  private readonly many: MicroBatch<NewEvent[], (Published | null)[]>;
  private readonly ofFloods: MicroBatch<NewEvent[], (Published | null)[]>;
  /** Publishes under way, by account. */
  private readonly underWay = new Map<string, number>();
  /** When accounts that do not flood published last, the longest ago first. */
  private readonly calmAtMs = new Map<string, number>();
  private readonly ids = new UuidV7Sequence();
  private waiting = 0;
  /** Publishes under way of accounts that do not flood. */
  private calm = 0;
  private manyRestUntilMs = 0;

  constructor(
    private readonly database: Database,
    private readonly newDeliveries: NewDeliveries,
    private readonly fanOut: FanOut,
    private readonly metrics: Metrics,
  ) {
    // One commit under way, one being prepared: more only makes the batches smaller.
    this.singles = new MicroBatch((publishes) => this.commitAll(publishes), {
      maxItems: MAX_PUBLISHES_PER_COMMIT,
      concurrency: 2,
      weigh: ([event]) => event?.data.length ?? 0,
      maxWeight: MAX_BYTES_PER_COMMIT,
      spacingMs: 4,
    });
    this.ofFloods = new MicroBatch((publishes) => this.commitAll(publishes), {
      maxItems: MAX_PUBLISHES_PER_COMMIT,
      concurrency: 1,
      weigh: ([event]) => event?.data.length ?? 0,
      maxWeight: MAX_BYTES_PER_COMMIT,
      spacingMs: FLOOD_SPACING_MS,
    });
    // Large ones take long, and nobody who publishes one event should wait behind them.
    this.many = new MicroBatch((publishes) => this.commitInTurn(publishes), { maxItems: 1, concurrency: 1 });
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
    const accountId = events[0]?.accountId ?? '';
    this.waiting += events.length;
    this.underWay.set(accountId, (this.underWay.get(accountId) ?? 0) + 1);
    const isCalm = events.length === 1 && !this.isFlooding(accountId);
    const arrived = isCalm ? this.newDeliveries.expect() : () => undefined;
    if (isCalm) this.calm += 1;
    try {
      const batch = isCalm ? this.singles : events.length === 1 ? this.ofFloods : this.many;
      const results = await batch.add(events);
      return results.map((result) => {
        if (!result) throw notFound('account');
        return result;
      });
    } finally {
      arrived();
      if (isCalm) this.calm -= 1;
      this.waiting -= events.length;
      const left = (this.underWay.get(accountId) ?? 1) - 1;
      if (left > 0) this.underWay.set(accountId, left);
      else this.underWay.delete(accountId);
    }
  }

  /** Whether the account publishes more at once than others do who are here: it then leaves them room. */
  private isFlooding(accountId: string): boolean {
    const now = Date.now();
    this.calmAtMs.delete(accountId);
    if ((this.underWay.get(accountId) ?? 0) <= CALM) {
      this.calmAtMs.set(accountId, now);
      return false;
    }
    return this.othersAreHere(now);
  }

  /** Whether accounts that do not flood are expected to publish. */
  private othersAreHere(now: number): boolean {
    for (const [account, atMs] of this.calmAtMs) {
      if (now - atMs < CALM_FOR_MS) return true;
      this.calmAtMs.delete(account);
    }
    return false;
  }

  async drained(): Promise<void> {
    await Promise.all([this.singles.drained(), this.ofFloods.drained(), this.many.drained()]);
  }

  private async commitAll(publishes: NewEvent[][]): Promise<(Published | null)[][]> {
    const results = (await this.commit(publishes.flat())).values();
    return publishes.map((events) => events.map(() => results.next().value ?? null));
  }

  /** Others go first for longer than the last large commit took. */
  private async commitInTurn(publishes: NewEvent[][]): Promise<(Published | null)[][]> {
    await sleep(Math.max(0, this.manyRestUntilMs - performance.now()));
    for (let waitedMs = 0; this.calm > 0 && waitedMs < YIELD.mostMs; waitedMs += YIELD.stepMs)
      await sleep(YIELD.stepMs);
    const beganAtMs = performance.now();
    const results = await this.commitAll(publishes);
    const now = performance.now();
    if (this.othersAreHere(Date.now())) this.manyRestUntilMs = now + MANY_REST * (now - beganAtMs);
    return results;
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
    const matched: MatchedRow[] = [];
    const terms = this.newDeliveries.terms();
    for (const row of await this.insert(rows, terms)) {
      inserted.set(row.id, row);
      if (row.matches) matched.push(...row.matches);
    }
    this.newDeliveries.offer(matched, terms);
    if ([...inserted.values()].some(({ later }) => later)) this.fanOut.nudge();
    const claimed = await this.findClaimed(rows.filter((row) => inserted.get(row.id)?.fresh === false));
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

  private insert(
    rows: (NewEvent & { id: string; at: Date })[],
    { lease, lane, express }: NewDeliveryTerms,
  ): Promise<InsertedRow[]> {
    // One JSON text: the driver writes arrays element by element.
    const input = rows.map((row) => ({
      id: row.id,
      account_id: row.accountId,
      external_id: row.externalId,
      type: row.type,
      occurred_at: row.at,
      version: row.version,
      tags: row.tags,
      priority: row.priority,
      level: row.priority && priorityLevel(row.priority),
      data: row.data,
    }));
    return this.database.prepared<InsertedRow>(HOT_PUBLISH.name, PUBLISH, [
      JSON.stringify(input),
      lease,
      lane,
      express,
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
  /** True when its deliveries are made after the commit, page by page. */
  later: boolean;
  matches: MatchedRow[] | null;
}

interface ClaimedRow {
  asked_by: string;
  id: string;
  external_id: string;
  type: string;
  occurred_at: Date;
  matched: number;
}

/**
 * External ids are claimed in one order, so that two batches never wait for each other. Events of one type of one
 * account match the same endpoints and are matched once.
 */
const PUBLISH = `
  WITH input AS (
    SELECT i.* FROM json_to_recordset($1::json) AS i (id uuid, account_id uuid, external_id text, type text,
      occurred_at timestamptz, version text, tags text[], priority text, level smallint, data text)
    JOIN accounts a ON a.id = i.account_id
  ), claimed AS (
    INSERT INTO event_external_ids (account_id, external_id, event_id)
    SELECT account_id, external_id, id FROM input WHERE external_id IS NOT NULL ORDER BY account_id, external_id
    ON CONFLICT DO NOTHING RETURNING event_id
  ), fresh AS (
    SELECT * FROM input WHERE external_id IS NULL OR id IN (SELECT event_id FROM claimed)
  ), matching AS MATERIALIZED (
    SELECT t.account_id, t.type, e.id AS endpoint_id, ${MATCHING_COLUMNS}
    FROM (SELECT DISTINCT account_id, type FROM fresh) t
    JOIN endpoints e ON e.account_id = t.account_id AND e.deleted_at IS NULL AND ${takesType('t.type')}
    LEFT JOIN event_types y ON y.name = t.type
  ), sized AS (
    SELECT account_id, type, count(*)::int AS matched, max(endpoint_id::text)::uuid AS last
    FROM matching GROUP BY account_id, type
  ), counted AS (
    SELECT f.id, s.matched, s.last,
      sum(s.matched) OVER (ORDER BY f.id) > ${MAX_DELIVERIES_PER_COMMIT} AS later
    FROM fresh f JOIN sized s USING (account_id, type)
  ), new_events AS (
    INSERT INTO events (id, account_id, external_id, type, occurred_at, version, tags, priority, data, matched)
    SELECT f.id, f.account_id, f.external_id, f.type, f.occurred_at, f.version,
      f.tags, f.priority, f.data, coalesce(c.matched, 0)
    FROM fresh f LEFT JOIN counted c ON c.id = f.id
  ), new_fanouts AS (
    INSERT INTO fanouts (event_id, after, until)
    SELECT id, '00000000-0000-0000-0000-000000000000', last FROM counted WHERE later
  ), matches AS (
    SELECT posthorn_uuid_v7() AS id, f.id AS event_id, f.account_id, f.type, coalesce(f.level, m.level) AS level,
      m.endpoint_id, m.url, m.status, m.lane
    FROM fresh f JOIN counted c ON c.id = f.id AND NOT c.later JOIN matching m USING (account_id, type)
  ), made AS (
    ${makeDeliveries('matches', '$2', '$3', '$4')}
  ), offered AS (
    SELECT event_id, json_agg(json_build_array(${OFFERED_COLUMNS})) AS matches FROM matches m
    WHERE status = 'pending' AND $2::bigint IS NOT NULL GROUP BY event_id
  )
  SELECT i.id, f.id IS NOT NULL AS fresh, coalesce(c.matched, 0) AS matched, coalesce(c.later, false) AS later, o.matches
  FROM input i LEFT JOIN fresh f ON f.id = i.id LEFT JOIN counted c ON c.id = i.id LEFT JOIN offered o ON o.event_id = i.id`;

export const HOT_PUBLISH: HotStatement = {
  name: 'publish',
  text: PUBLISH,
  nothing: ['[]', null, 'durable', false],
};

const FIND_CLAIMED = `
  SELECT i.id AS asked_by, e.id, e.external_id, e.type, e.occurred_at, e.matched
  FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS i (id, account_id, external_id)
  JOIN event_external_ids x ON x.account_id = i.account_id AND x.external_id = i.external_id
  JOIN events e ON e.id = x.event_id`;
