import { Injectable } from '@nestjs/common';
import type pg from 'pg';
import { uuidV7 } from '../common/ids.js';
import type { PriorityLevel } from '../common/priority.js';
import { Database } from '../database/database.js';
import {
  makeDeliveries,
  type MatchedRow,
  NewDeliveries,
  type NewDeliveryTerms,
  OFFERED_COLUMNS,
} from '../events/new-deliveries.js';
import { type BatchLimits, DEFAULT_LIMITS } from './batches.schema.js';
import { type Collected, cut } from './cut.js';

/** Events that one commit makes batches of: more than one batch may have, so that each commit makes one at least. */
const PAGE = 2_000;

/** A window in which events are collected for an endpoint. */
export interface OpenWindow {
  /** UUID */
  id: string;
  closesInMs: number;
}

/**
 * Makes batches of what is collected for an endpoint. Whoever does it, in whatever process: each event goes into one batch,
 * and a batch is a delivery like any other from the commit on that makes it.
 */
@Injectable()
export class BatchSealer {
  constructor(
    private readonly database: Database,
    private readonly newDeliveries: NewDeliveries,
  ) {}

  /**
   * Makes batches of what fills them, and of the rest where the time of its window is over.
   *
   * @param endpointId UUID
   * @param now whether the rest is to go in any case
   * @returns the window that is still open; null where there is none
   */
  async seal(endpointId: string, now = false): Promise<OpenWindow | null> {
    for (;;) {
      const terms = this.newDeliveries.terms();
      const sealed = await this.database.transaction((client) => sealPage(client, endpointId, now, terms));
      if (sealed.made > 0) this.newDeliveries.offer(sealed.offered, terms);
      if (!sealed.more) return this.windowOf(endpointId);
    }
  }

  private async windowOf(endpointId: string): Promise<OpenWindow | null> {
    const [row] = await this.database.prepared<{ id: string; closes_in_ms: number }>(
      'open_window',
      `SELECT id, ${CLOSES_IN_MS} AS closes_in_ms FROM batch_windows WHERE endpoint_id = $1`,
      [endpointId],
    );
    return row ? { id: row.id, closesInMs: row.closes_in_ms } : null;
  }
}

/** Of a row of `batch_windows`; negative once its time is over. */
export const CLOSES_IN_MS = 'ceil(extract(epoch FROM closes_at - now()) * 1000)::float8';

interface Sealed {
  made: number;
  offered: MatchedRow[];
  /** Whether there is more than one commit should hold. */
  more: boolean;
}

interface CollectedRow extends Collected {
  id: string;
  level: PriorityLevel;
  created_at: Date;
}

async function sealPage(
  client: pg.PoolClient,
  endpointId: string,
  now: boolean,
  terms: NewDeliveryTerms,
): Promise<Sealed> {
  const state = await lockEndpoint(client, endpointId);
  const window = await lockWindow(client, endpointId);
  if (!state || (!window && !now)) return { made: 0, offered: [], more: false };
  const items = await lockCollected(client, endpointId);
  const more = items.length === PAGE;
  if (state.ended !== null) {
    await end(client, items, state.ended);
    if (!more && window) await closeWindow(client, endpointId, window.id);
    return { made: 0, offered: [], more };
  }
  const limits = window?.limits ?? state.batch ?? DEFAULT_LIMITS;
  const lengths = cut(items, limits, !more && (now || window?.over === true));
  const sealed = lengths.reduce((sum, length) => sum + length, 0);
  const offered = await insert(client, endpointId, batchesOf(items, lengths), terms);
  // One that was opened meanwhile is of others.
  if (!more && window) await leave(client, endpointId, window.id, items.slice(sealed));
  return { made: lengths.length, offered, more };
}

interface EndpointState {
  batch: BatchLimits | null;
  /** What becomes of what is collected for an endpoint that takes nothing more. */
  ended: { status: 'cancelled' | 'skipped'; reason: string } | null;
}

/** Whoever pauses, disables or deletes it waits, and then finds the batches; or is waited for, and is seen here. */
async function lockEndpoint(client: pg.PoolClient, endpointId: string): Promise<EndpointState | null> {
  const { rows } = await client.query<{ batch: BatchLimits | null; disabled: boolean; deleted: boolean }>(
    `SELECT batch, disabled_reason IS NOT NULL AS disabled, deleted_at IS NOT NULL AS deleted
      FROM endpoints WHERE id = $1 FOR SHARE`,
    [endpointId],
  );
  const [row] = rows;
  if (!row) return null;
  const { batch, disabled, deleted } = row;
  if (deleted) return { batch, ended: { status: 'cancelled', reason: 'endpoint_deleted' } };
  return { batch, ended: disabled ? { status: 'skipped', reason: 'endpoint_disabled' } : null };
}

interface LockedWindow {
  id: string;
  /** Whether its time is over. */
  over: boolean;
  limits: Pick<BatchLimits, 'maxEvents' | 'maxBytes'>;
}

async function lockWindow(client: pg.PoolClient, endpointId: string): Promise<LockedWindow | null> {
  const { rows } = await client.query<{ id: string; over: boolean; max_events: number; max_bytes: number }>(
    `SELECT id, closes_at <= now() AS over, max_events, max_bytes::float8 AS max_bytes
      FROM batch_windows WHERE endpoint_id = $1 FOR UPDATE`,
    [endpointId],
  );
  const [row] = rows;
  if (!row) return null;
  return { id: row.id, over: row.over, limits: { maxEvents: row.max_events, maxBytes: row.max_bytes } };
}

/** In the order in which their events were published. */
async function lockCollected(client: pg.PoolClient, endpointId: string): Promise<CollectedRow[]> {
  const { rows } = await client.query<CollectedRow>(
    `SELECT d.id, d.priority AS level, d.test, d.created_at, octet_length(v.data) AS bytes
      FROM deliveries d JOIN events v ON v.id = d.event_id
      WHERE d.endpoint_id = $1 AND d.status = 'batched' AND d.batch_id IS NULL
      ORDER BY d.event_id LIMIT ${PAGE} FOR UPDATE OF d`,
    [endpointId],
  );
  return rows;
}

function batchesOf(items: CollectedRow[], lengths: number[]) {
  const now = Date.now();
  let from = 0;
  return lengths.map((length) => {
    const carried = items.slice(from, from + length);
    from += length;
    return {
      id: uuidV7(now),
      message_id: uuidV7(now),
      items: carried.map(({ id }) => id),
      events: carried.length,
      level: Math.min(...carried.map(({ level }) => level)),
      test: carried[0]?.test ?? false,
    };
  });
}

async function insert(
  client: pg.PoolClient,
  endpointId: string,
  batches: ReturnType<typeof batchesOf>,
  { lease, lane, express }: NewDeliveryTerms,
): Promise<MatchedRow[]> {
  if (batches.length === 0) return [];
  const { rows } = await client.query<{ matched: MatchedRow }>({
    name: 'seal_batches',
    text: SEAL,
    values: [JSON.stringify(batches), lease, lane, express, endpointId],
  });
  return rows.map(({ matched }) => matched);
}

/** No event type has a space in it. */
const SEAL = `
  WITH sealed AS (
    SELECT * FROM json_to_recordset($1::json) AS s (id uuid, message_id uuid, items uuid[], events int, level smallint, test boolean)
  ), matches AS (
    SELECT s.id, e.account_id, s.id AS event_id, e.id AS endpoint_id, 'batch of ' || s.events AS type, s.test, s.level, e.url,
      e.lane, e.held_reason, CASE WHEN e.held_reason IS NULL THEN 'pending' ELSE 'held' END AS status
    FROM sealed s, endpoints e WHERE e.id = $5
  ), made AS (
    ${makeDeliveries('matches', '$2', '$3', '$4')}
  ), kept AS (
    INSERT INTO batches (id, account_id, message_id, events)
    SELECT s.id, m.account_id, s.message_id, s.events FROM sealed s JOIN matches m USING (id)
  ), carried AS (
    UPDATE deliveries d SET batch_id = s.id FROM sealed s, unnest(s.items) AS item (id) WHERE d.id = item.id
  )
  SELECT json_build_array(${OFFERED_COLUMNS}) AS matched FROM matches m WHERE status = 'pending' AND $2::bigint IS NOT NULL`;

/** @param left what is collected further */
async function leave(
  client: pg.PoolClient,
  endpointId: string,
  windowId: string,
  left: CollectedRow[],
): Promise<void> {
  if (left.length === 0) return closeWindow(client, endpointId, windowId);
  const since = new Date(Math.min(...left.map(({ created_at }) => created_at.getTime())));
  const bytes = left.reduce((sum, item) => sum + item.bytes, 0);
  await client.query(
    `UPDATE batch_windows SET items = $3, bytes = $4, closes_at = $5::timestamptz + max_wait_seconds * interval '1 second'
      WHERE endpoint_id = $1 AND id = $2`,
    [endpointId, windowId, left.length, bytes, since],
  );
}

async function closeWindow(client: pg.PoolClient, endpointId: string, windowId: string): Promise<void> {
  await client.query('DELETE FROM batch_windows WHERE endpoint_id = $1 AND id = $2', [endpointId, windowId]);
}

async function end(
  client: pg.PoolClient,
  items: CollectedRow[],
  { status, reason }: NonNullable<EndpointState['ended']>,
): Promise<void> {
  await client.query(
    `UPDATE deliveries SET status = $2, status_reason = $3, completed_at = now() WHERE id = ANY ($1::uuid[])`,
    [items.map(({ id }) => id), status, reason],
  );
}
