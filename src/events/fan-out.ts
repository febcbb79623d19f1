import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { noteArrivals } from '../batches/arrivals.js';
import { BatchCollector } from '../batches/batch-collector.js';
import { NIL_UUID } from '../common/ids.js';
import { PRIORITIES } from '../common/priority.js';
import { Rounds } from '../common/rounds.js';
import { Database, isUnavailable } from '../database/database.js';
import { LOGGER } from '../logging/logger.js';
import {
  askedBy,
  makeDeliveries,
  MATCHING_COLUMNS,
  type MatchedRow,
  NewDeliveries,
  OFFERED_COLUMNS,
  takesTests,
  passesFilter,
  statusUnderFilters,
  takesType,
} from './new-deliveries.js';

const PAGE = 500;
const LOOK_EVERY_MS = 1_000;

/**
 * Makes the deliveries of events that match more endpoints than one commit should hold, as the filters were then. A page and the mark of how far
 * it got are one statement, so whoever goes on after a crash neither leaves out nor repeats one. Any process may. Accounts take
 * turns, so that one with a thousand such events does not keep the others waiting.
 */
@Injectable()
export class FanOut {
  private readonly rounds = new Rounds(() => this.run(), LOOK_EVERY_MS);
  /** The account whose turn was last. */
  private turn = NIL_UUID;

  constructor(
    private readonly database: Database,
    private readonly newDeliveries: NewDeliveries,
    private readonly collector: BatchCollector,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  open(): void {
    this.rounds.open();
  }

  close(): Promise<void> {
    return this.rounds.close();
  }

  /** An event has just been left to it. */
  nudge(): void {
    this.rounds.nudge();
  }

  private async run(): Promise<void> {
    try {
      while (!this.rounds.closed) {
        const isAnew = this.turn === NIL_UUID;
        this.turn = (await this.page(this.turn)) ?? NIL_UUID;
        if (isAnew && this.turn === NIL_UUID) return;
      }
    } catch (error) {
      if (isUnavailable(error) && !tookTooLong(error)) return;
      this.logger.error({ err: error }, 'deliveries of a fan-out could not be made');
      await this.passOver().catch(() => undefined);
    }
  }

  /** The others go on: what failed is tried again when its turn has come once more. */
  private async passOver(): Promise<void> {
    const [next] = await this.database.prepared<{ account_id: string }>(
      'next_fan_out',
      'SELECT account_id FROM fanouts WHERE account_id > $1 ORDER BY account_id LIMIT 1',
      [this.turn],
    );
    this.turn = next?.account_id ?? NIL_UUID;
  }

  /** Of the account after this one that has any. @returns which it was; null when there was none */
  private async page(after: string): Promise<string | null> {
    const terms = this.newDeliveries.terms();
    const [row] = await this.database.prepared<PageRow>('fan_out', FAN_OUT, [
      PAGE,
      terms.lease,
      terms.lane,
      terms.express,
      PRIORITIES,
      after,
    ]);
    if (!row) return null;
    this.newDeliveries.offer(row.matches ?? [], terms);
    if (row.collected) this.collector.nudge();
    return row.account_id;
  }
}

/** SQLSTATE 57014. */
const tookTooLong = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === '57014';

interface PageRow {
  account_id: string;
  matches: MatchedRow[] | null;
  /** Whether some are for endpoints that collect. */
  collected: boolean;
}

/** By its key, however many of a page collect: the offset keeps it from being joined with all there are. */
const EACH_EVENT = 'CROSS JOIN LATERAL (SELECT data FROM events WHERE id = m.event_id OFFSET 0) v';

const FAN_OUT = `
  WITH task AS (
    SELECT event_id, account_id, after, until, takes, broken, slots FROM fanouts WHERE account_id > $6
    ORDER BY account_id, event_id LIMIT 1 FOR UPDATE SKIP LOCKED
  ), event AS MATERIALIZED (
    SELECT v.id, v.account_id, v.type, v.test, array_position($5::text[], v.priority)::smallint AS own_level,
      ${askedBy('v.type')} AS asked
    FROM task t JOIN events v ON v.id = t.event_id
  ), page AS MATERIALIZED (
    SELECT v.id AS event_id, v.account_id, v.type, v.test, v.own_level,
      e.id AS endpoint_id, t.takes, t.broken, t.slots, e.filter_slot, ${MATCHING_COLUMNS}
    FROM task t CROSS JOIN event v
    JOIN endpoints e ON e.account_id = v.account_id AND e.deleted_at IS NULL AND e.id > t.after AND e.id <= t.until
      AND ${takesTests('v.test')} AND ${takesType('v.type', 'v.asked')} AND ${passesFilter('t', 'e.filter_slot')}
    LEFT JOIN event_types y ON y.name = v.type
    ORDER BY e.id LIMIT $1
  ), matches AS (
    SELECT posthorn_uuid_v7() AS id, account_id, event_id, endpoint_id, type, test, url, lane,
      ${statusUnderFilters('page.status', 'page', 'filter_slot')} AS status, held_reason,
      coalesce(own_level, level) AS level
    FROM page
  ), made AS (
    ${makeDeliveries('matches', '$2', '$3', '$4')}
  ), arrived AS (
    ${noteArrivals('matches', EACH_EVENT)}
  ), moved AS (
    UPDATE fanouts f SET after = (SELECT endpoint_id FROM page ORDER BY endpoint_id DESC LIMIT 1)
    FROM task t WHERE f.event_id = t.event_id AND (SELECT count(*) FROM page) = $1
  ), ended AS (
    DELETE FROM fanouts f USING task t WHERE f.event_id = t.event_id AND (SELECT count(*) FROM page) < $1
  )
  SELECT task.account_id, (SELECT json_agg(json_build_array(${OFFERED_COLUMNS})) FROM matches m
    WHERE status = 'pending' AND $2::bigint IS NOT NULL) AS matches, EXISTS (SELECT FROM arrived) AS collected
  FROM task`;
