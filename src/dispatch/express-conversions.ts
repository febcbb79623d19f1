import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { MicroBatch } from '../common/micro-batch.js';
import type { Database } from '../database/database.js';
import type { DispatchItem } from './dispatch-item.js';
import type { ProcessLease } from './process-lease.js';
import { UNTRIED } from './untried.js';

const TRY_AGAIN_MS = { first: 250, most: 10_000 };

/** Deliveries that were meant for the engine and are becoming express: they are, once the record says so. */
export class ExpressConversions {
  private readonly batches: MicroBatch<string, boolean>;
  private readonly converting = new Set<string>();

  /** @param done told of each whose fate is known: of one that is express now, or of none where it is not this process's any more */
  constructor(
    private readonly database: Database,
    private readonly lease: ProcessLease,
    private readonly logger: Logger,
    private readonly done: (item: DispatchItem | null) => void,
  ) {
    this.batches = new MicroBatch((ids) => this.convert(ids), { maxItems: 500, concurrency: 2 });
  }

  get size(): number {
    return this.converting.size;
  }

  has(deliveryId: string): boolean {
    return this.converting.has(deliveryId);
  }

  add(item: DispatchItem): void {
    const { deliveryId } = item;
    this.converting.add(deliveryId);
    void this.becomesExpress(deliveryId).then((converted) => {
      this.converting.delete(deliveryId);
      this.done(converted ? { ...item, express: true } : null);
    });
  }

  /** Forgets all of them. @returns their ids */
  clear(): string[] {
    const ids = [...this.converting];
    this.converting.clear();
    return ids;
  }

  /** @returns false for one that is not this process's any more */
  private async becomesExpress(deliveryId: string): Promise<boolean> {
    for (let inMs = TRY_AGAIN_MS.first; ; inMs = Math.min(2 * inMs, TRY_AGAIN_MS.most)) {
      try {
        return await this.batches.add(deliveryId);
      } catch (error) {
        this.logger.debug(
          { err: error, deliveryId },
          'a delivery could not be made express; it is tried again',
        );
      }
      await sleep(inMs, undefined, { ref: false });
      if (!this.converting.has(deliveryId)) return false;
    }
  }

  private async convert(ids: string[]): Promise<boolean[]> {
    const lease = this.lease.current;
    if (lease === null) throw new Error('this process has no lease that it may hold deliveries under');
    const rows = await this.database.prepared<{ id: string }>(
      'make_express',
      `UPDATE deliveries d SET express = true WHERE id = ANY ($1::uuid[]) AND lease = $2 AND ${UNTRIED} RETURNING id`,
      [ids, lease],
    );
    const converted = new Set(rows.map(({ id }) => id));
    return ids.map((id) => converted.has(id));
  }
}
