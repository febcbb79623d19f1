import { FairQueue, type Queued } from './fair-queue.js';

export interface LanePlaces {
  /** Deliveries that may be in hand at once. */
  all: number;
  /** Of these, what backlogs get while somebody without one is expected: the fewer, the sooner that one is served. */
  backlogs: number;
}

/** One way for first attempts: who waits for it, and who has a place in it. */
export class Lane<Item extends Queued> {
  readonly queue = new FairQueue<Item>();
  private readonly taken = new Map<string, { backlog: boolean }>();
  private takenByBacklogs = 0;

  constructor(private readonly places: LanePlaces) {}

  /** Deliveries that have a place. */
  get busy(): number {
    return this.taken.size;
  }

  /** Of these, how many are of flows without a backlog. */
  get light(): number {
    return this.taken.size - this.takenByBacklogs;
  }

  /** Whether nearly all places are taken: what waits then waits for the lane, whatever else it waits for. */
  get isFull(): boolean {
    return this.taken.size >= this.places.all * 0.75;
  }

  has(deliveryId: string): boolean {
    return this.taken.has(deliveryId) || this.queue.has(deliveryId);
  }

  isOfBacklog(deliveryId: string): boolean {
    return this.taken.get(deliveryId)?.backlog ?? false;
  }

  /**
   * The next one that a place is free for, which it has from now on until {@link free}.
   *
   * @param backlogs what flows with a backlog may take: any place, the few that are theirs, or none
   */
  take(
    nowMs: number,
    backlogs: 'any' | 'few' | 'none',
    mayGo: (endpointId: string) => boolean,
  ): Item | undefined {
    if (this.taken.size >= this.places.all) return undefined;
    const few = backlogs === 'few' && this.takenByBacklogs < this.places.backlogs;
    const next = this.queue.take(nowMs, backlogs === 'any' || few, mayGo);
    if (!next) return undefined;
    this.taken.set(next.item.deliveryId, { backlog: next.backlog });
    if (next.backlog) this.takenByBacklogs += 1;
    return next.item;
  }

  free(deliveryId: string): void {
    const place = this.taken.get(deliveryId);
    if (!place) return;
    this.taken.delete(deliveryId);
    if (place.backlog) this.takenByBacklogs -= 1;
  }
}
