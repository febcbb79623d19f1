import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { PRIORITIES } from '../common/priority.js';
import { Database, isUnavailable } from '../database/database.js';
import { LOGGER } from '../logging/logger.js';
import {
  makeDeliveries,
  MATCHING_COLUMNS,
  type MatchedRow,
  NewDeliveries,
  OFFERED_COLUMNS,
  takesType,
} from './new-deliveries.js';

const PAGE = 500;
const LOOK_EVERY_MS = 1_000;

/**
 * Makes the deliveries of events that match more endpoints than one commit should hold. A page and the mark of how far
 * it got are one statement, so whoever goes on after a crash neither leaves out nor repeats one. Any process may.
 */
@Injectable()
export class FanOut {
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private again = false;
  private closed = true;

  constructor(
    private readonly database: Database,
    private readonly newDeliveries: NewDeliveries,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  open(): void {
    this.closed = false;
    this.schedule(0);
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.running;
  }

  /** An event has just been left to it. */
  nudge(): void {
    this.again = true;
    if (!this.running && !this.closed) this.schedule(0);
  }

  private schedule(inMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.again = false;
      this.running = this.run().finally(() => {
        this.running = undefined;
        if (!this.closed) this.schedule(this.again ? 0 : LOOK_EVERY_MS);
      });
    }, inMs);
  }

  private async run(): Promise<void> {
    try {
      while (!this.closed && (await this.page()));
    } catch (error) {
      if (!isUnavailable(error))
        this.logger.error({ err: error }, 'deliveries of a fan-out could not be made');
    }
  }

  /** @returns whether there was anything to do */
  private async page(): Promise<boolean> {
    const terms = this.newDeliveries.terms();
    const [row] = await this.database.prepared<{ matches: MatchedRow[] | null }>('fan_out', FAN_OUT, [
      PAGE,
      terms.lease,
      terms.lane,
      terms.express,
      PRIORITIES,
    ]);
    if (!row) return false;
    this.newDeliveries.offer(row.matches ?? [], terms);
    return true;
  }
}

const FAN_OUT = `
  WITH task AS (
    SELECT event_id, after, until FROM fanouts ORDER BY event_id LIMIT 1 FOR UPDATE SKIP LOCKED
  ), page AS MATERIALIZED (
    SELECT v.id AS event_id, v.account_id, v.type, array_position($5::text[], v.priority)::smallint AS own_level,
      e.id AS endpoint_id, ${MATCHING_COLUMNS}
    FROM task t JOIN events v ON v.id = t.event_id
    JOIN endpoints e ON e.account_id = v.account_id AND e.deleted_at IS NULL AND e.id > t.after AND e.id <= t.until
      AND ${takesType('v.type')}
    LEFT JOIN event_types y ON y.name = v.type
    ORDER BY e.id LIMIT $1
  ), matches AS (
    SELECT posthorn_uuid_v7() AS id, account_id, event_id, endpoint_id, type, url, lane, status,
      coalesce(own_level, level) AS level
    FROM page
  ), made AS (
    ${makeDeliveries('matches', '$2', '$3', '$4')}
  ), moved AS (
    UPDATE fanouts f SET after = (SELECT endpoint_id FROM page ORDER BY endpoint_id DESC LIMIT 1)
    FROM task t WHERE f.event_id = t.event_id AND (SELECT count(*) FROM page) = $1
  ), ended AS (
    DELETE FROM fanouts f USING task t WHERE f.event_id = t.event_id AND (SELECT count(*) FROM page) < $1
  )
  SELECT (SELECT json_agg(json_build_array(${OFFERED_COLUMNS})) FROM matches m
    WHERE status = 'pending' AND $2::bigint IS NOT NULL) AS matches
  FROM task`;
