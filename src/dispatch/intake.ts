import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import type { LaneName } from '../common/lane.js';
import type { PriorityLevel } from '../common/priority.js';
import { Rounds } from '../common/rounds.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import { Database } from '../database/database.js';
import { takeEach } from '../database/steps.js';
import { LOGGER } from '../logging/logger.js';
import { Dispatcher } from './dispatcher.js';
import { Doorbell } from './doorbell.js';
import { IN_HAND_SECONDS, ProcessLease, STILL_IN_HAND_SECONDS } from './process-lease.js';
import { AHEAD, UNTRIED } from './untried.js';

const LOOK_EVERY_MS = 1_000;
/** Of each claim, the latest published: an account with no backlog need not wait behind the backlogs of others. */
const NEWEST = 100;

/**
 * Takes deliveries that nobody has in hand: those of processes that publish but have no worker, that found no room
 * elsewhere, or whose process has ended.
 */
@Injectable()
export class Intake {
  private readonly rounds = new Rounds(() => this.takeAll(), LOOK_EVERY_MS);

  constructor(
    private readonly database: Database,
    private readonly dispatcher: Dispatcher,
    private readonly lease: ProcessLease,
    private readonly doorbell: Doorbell,
    @Inject(SETTINGS_TOKEN) private readonly settings: Settings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  open(): void {
    this.doorbell.listen(() => this.nudge());
    this.rounds.open();
  }

  close(): Promise<void> {
    return this.rounds.close();
  }

  /** Something may have been left to whoever has room: look now. */
  nudge(): void {
    this.rounds.nudge();
  }

  private takeAll(): Promise<void> {
    // What nobody has ever had waits for no dead process.
    const steps = [() => this.lease.takeOver(), () => this.takeWhatThereIs()];
    return takeEach(steps, this.logger, 'deliveries could not be claimed');
  }

  private async takeWhatThereIs(): Promise<void> {
    while (!this.rounds.closed && (await this.take()));
  }

  /** @returns whether there may be more */
  private async take(): Promise<boolean> {
    const { room, holder, isExpress, waitingRoom } = this.dispatcher;
    if (room === 0 || holder === null) return false;
    const { full } = waitingRoom;
    const newest = Math.min(NEWEST, Math.floor(room / 2));
    const rows = await this.database.prepared<ClaimedRow>('claim_fresh', CLAIM_FRESH, [
      room - newest,
      newest,
      holder,
      full.endpoints,
      this.settings.LANE,
      isExpress,
      full.accounts,
      this.dispatcher.isCutOff,
    ]);
    const items = rows
      .filter((row) => !this.dispatcher.has(row.id))
      .map((row) => ({
        deliveryId: row.id,
        accountId: row.account_id,
        eventId: row.event_id,
        endpointId: row.endpoint_id,
        eventType: row.event_type,
        url: row.url,
        priority: row.priority,
        express: row.express,
        auto: row.was_express && !row.express && row.lane === 'auto',
        ahead: row.ahead,
      }));
    this.dispatcher.offer(items);
    for (const row of rows) if (row.ahead) this.dispatcher.advance(row.id, row.endpoint_id);
    return rows.length >= room;
  }
}

interface ClaimedRow {
  id: string;
  account_id: string;
  event_id: string;
  endpoint_id: string;
  event_type: string;
  url: string;
  priority: PriorityLevel;
  lane: LaneName;
  express: boolean;
  /** False when a workflow may have been started for it. */
  was_express: boolean;
  ahead: boolean;
}

const FRESH = `d.due_at <= now() AND ${UNTRIED} AND (d.express OR NOT $8::boolean OR d.lease = $3)
  AND (d.lease = $3 OR (${AHEAD} OR d.endpoint_id <> ALL ($4::uuid[]) AND d.account_id <> ALL ($7::uuid[]))
    AND NOT EXISTS (SELECT FROM leases l WHERE l.id = d.lease AND l.expires_at > now()))`;

/**
 * $1 and $2 of them, the oldest and the newest, are held under lease $3. What waits in this process already keeps its way: it
 * would no longer find itself in the record.
 */
export const CLAIM_FRESH = `
  WITH oldest AS (
    SELECT id, express, lease FROM deliveries d WHERE ${FRESH} ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
  ), newest AS (
    SELECT id, express, lease FROM deliveries d WHERE ${FRESH} AND (SELECT count(*) FROM oldest) = $1
    ORDER BY due_at DESC LIMIT $2 FOR UPDATE SKIP LOCKED
  ), claimed AS (
    SELECT id, express, lease FROM oldest UNION SELECT id, express, lease FROM newest
  )
  UPDATE deliveries d SET lease = $3,
    due_at = now() + CASE WHEN c.lease = $3 THEN interval '${STILL_IN_HAND_SECONDS} seconds'
      ELSE interval '${IN_HAND_SECONDS} seconds' END,
    express = c.express AND (coalesce(c.lease = $3, false) OR CASE coalesce(e.lane, $5::text)
      WHEN 'express' THEN true WHEN 'durable' THEN false ELSE $6::boolean END)
  FROM claimed c, endpoints e WHERE d.id = c.id AND e.id = d.endpoint_id
  RETURNING d.id, d.account_id, d.event_id, d.endpoint_id, d.event_type, e.url, d.priority,
    coalesce(e.lane, $5::text) AS lane, d.express, c.express AS was_express, ${AHEAD} AS ahead`;
