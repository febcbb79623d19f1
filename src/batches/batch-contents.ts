import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import {
  EVENT_COLUMNS,
  type EventFields,
  type LoadedBatch,
  type LoadedDelivery,
} from '../deliveries/loader.js';
import { Doorbell } from '../dispatch/doorbell.js';
import { EventCatalogue } from '../event-types/event-catalogue.js';
import { type Shape, Shaper } from '../messages/shaper.js';

/** Shaping that takes longer is cut off, so that sending and recording have their time. */
const SHAPE_WITHIN_MS = 20_000;
/** Events that are shaped at once: other endpoints' take turns with them. */
const CONCURRENCY = 4;

/** What a batch carries, as it is to be sent. */
export interface Carried {
  delivery: LoadedDelivery;
  /** Null where it is sent as it was published. */
  shape: Shape | null;
}

export type Filling =
  | { kind: 'filled'; items: Carried[] }
  /** There is too much to do: nothing was done. */
  | { kind: 'busy'; waitMs: number }
  /** Nothing is left that could be sent, and the batch has ended. */
  | { kind: 'emptied'; status: 'delivered' | 'skipped'; reason: string | null };

/** What becomes of an event that the batch goes without: a reason to skip it, or another way. */
type Fate = 'transform_dropped' | 'version_sunset' | 'alone' | 'again';

/** Loads and shapes what a batch carries, for one attempt. */
@Injectable()
export class BatchContents {
  constructor(
    private readonly database: Database,
    private readonly shaper: Shaper,
    private readonly catalogue: EventCatalogue,
    private readonly doorbell: Doorbell,
  ) {}

  /**
   * Each event is shaped as it would be alone. One whose shaping fails goes on alone, so that the others need not wait for it;
   * what there is no time for is collected again.
   *
   * @param withinMs after which nothing more is shaped
   * @throws for failures of ours
   */
  async fill(batch: LoadedBatch, withinMs = SHAPE_WITHIN_MS): Promise<Filling> {
    const carried = await this.load(batch);
    const items: Carried[] = [];
    const fates = new Map<string, Fate>();
    const untilMs = performance.now() + withinMs;
    const busy = { waitMs: null as number | null };
    const queue = carried.entries();
    const work = async () => {
      for (const [index, delivery] of queue) {
        if (busy.waitMs !== null) return;
        if (performance.now() >= untilMs) fates.set(delivery.id, 'again');
        else {
          const shaped = await this.shape(delivery);
          if (typeof shaped === 'string') fates.set(delivery.id, shaped);
          else if ('waitMs' in shaped) busy.waitMs = shaped.waitMs;
          else items[index] = shaped;
        }
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, work));
    if (busy.waitMs !== null) return { kind: 'busy', waitMs: busy.waitMs };
    if (fates.size > 0) await this.goWithout(batch, fates);
    // Those that it goes without have left holes.
    const filled = Object.values(items);
    return filled.length === 0 ? this.endEmptied(batch) : { kind: 'filled', items: filled };
  }

  private async shape(delivery: LoadedDelivery): Promise<Carried | Fate | { waitMs: number }> {
    if (this.catalogue.pinOf(delivery.type, delivery.pinned_version) === 'stopped') return 'version_sunset';
    const step = await this.shaper.shape(delivery);
    switch (step?.kind) {
      case undefined:
        return { delivery, shape: null };
      case 'shaped':
        return { delivery, shape: step };
      case 'dropped':
        return 'transform_dropped';
      case 'failed':
        return 'alone';
      case 'busy':
        return { waitMs: step.waitMs };
    }
  }

  private async load(batch: LoadedBatch): Promise<LoadedDelivery[]> {
    const rows = await this.database.prepared<EventFields & { id: string; event_id: string }>(
      'load_carried',
      `SELECT d.id, d.event_id, ${EVENT_COLUMNS}
        FROM deliveries d JOIN events v ON v.id = d.event_id JOIN endpoints e ON e.id = d.endpoint_id
        WHERE d.batch_id = $1 AND d.status = 'batched' ORDER BY d.event_id`,
      [batch.id],
    );
    return rows.map((row) => ({ ...batch, ...row }));
  }

  private async goWithout(batch: LoadedBatch, fates: ReadonlyMap<string, Fate>): Promise<void> {
    const rows = [...fates].map(([id, fate]) => ({ id, fate }));
    await this.database.prepared('go_without', GO_WITHOUT, [batch.id, JSON.stringify(rows)]);
    this.doorbell.ring();
  }

  private async endEmptied({ id }: LoadedBatch): Promise<Filling> {
    const [row] = await this.database.prepared<{
      status: 'delivered' | 'skipped';
      status_reason: string | null;
    }>(
      'end_emptied',
      `UPDATE deliveries d SET next_attempt_at = NULL, due_at = NULL, tell = NULL, lease = NULL, completed_at = now(),
         status = CASE WHEN c.any_delivered THEN 'delivered' ELSE 'skipped' END,
         status_reason = CASE WHEN NOT c.any_delivered THEN 'batch_empty' END
        FROM (SELECT EXISTS (SELECT FROM deliveries WHERE batch_id = $1 AND status = 'delivered') AS any_delivered) c
        WHERE d.id = $1 AND d.status IN ('pending', 'retrying', 'held') RETURNING d.status, d.status_reason`,
      [id],
    );
    return { kind: 'emptied', status: row?.status ?? 'skipped', reason: row?.status_reason ?? null };
  }
}

/** Whoever goes on alone was in nobody's hands: its lane is chosen when it is taken. */
const GO_WITHOUT = `
  WITH input AS (
    SELECT * FROM json_to_recordset($2::json) AS i (id uuid, fate text)
  ), gone AS (
    UPDATE deliveries d SET
      status = CASE i.fate WHEN 'alone' THEN 'pending' WHEN 'again' THEN 'batched' ELSE 'skipped' END,
      status_reason = CASE WHEN i.fate NOT IN ('alone', 'again') THEN i.fate END,
      completed_at = CASE WHEN i.fate NOT IN ('alone', 'again') THEN now() END,
      batch_id = CASE WHEN i.fate NOT IN ('alone', 'again') THEN d.batch_id END,
      due_at = CASE i.fate WHEN 'alone' THEN now() END,
      express = i.fate = 'alone'
    FROM input i WHERE d.id = i.id AND d.batch_id = $1 AND d.status = 'batched'
    RETURNING d.endpoint_id, d.event_id, d.created_at, i.fate
  )
  INSERT INTO batch_arrivals (endpoint_id, at, items, bytes)
  SELECT g.endpoint_id, min(g.created_at), count(*), sum(octet_length(v.data))
  FROM gone g JOIN events v ON v.id = g.event_id WHERE g.fate = 'again' GROUP BY g.endpoint_id`;
