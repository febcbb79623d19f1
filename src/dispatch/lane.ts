import { FairQueue, type MayGo, type Queued } from './fair-queue.js';

export interface LanePlaces {
  /** Deliveries that may be in hand at once. */
  all: number;
  /** Of these, what backlogs get while somebody without one is expected: the fewer, the sooner that one is served. */
  backlogs: number;
  /** How long a backlog waits for those without one who are about to be sent, before it goes beside them. */
  yieldMs: number;
}

/** What backlogs must leave to flows that have none. */
export interface Room {
  /** Whether such flows are expected: backlogs then get their few places alone. */
  leaves: boolean;
  /** Whether something of one is about to be pushed. */
  lightIsComing: boolean;
}

/** One way for first attempts: who waits for it, and who has a place in it. */
export class Lane<Item extends Queued> {
  readonly queue = new FairQueue<Item>();
  private readonly taken = new Map<string, { backlog: boolean }>();
  private takenByBacklogs = 0;
  /** Of flows without a backlog, what has a place and has not been sent. */
  private readonly unsent = new Set<string>();
  /** When something of a backlog was last taken. */
  private backlogTakenAtMs = 0;

  constructor(private readonly places: LanePlaces) {}

  /** Deliveries that have a place. */
  get busy(): number {
    return this.taken.size;
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

  /** The next one that a place is free for, which it has from now on until {@link free}. */
  take(nowMs: number, room: Room, mayGo: MayGo): Item | undefined {
    if (this.taken.size >= this.places.all) return undefined;
    const next = this.queue.take(nowMs, this.backlogsMayGo(nowMs, room), mayGo);
    if (!next) return undefined;
    this.taken.set(next.item.deliveryId, { backlog: next.backlog });
    if (next.backlog) {
      this.takenByBacklogs += 1;
      this.backlogTakenAtMs = nowMs;
    } else this.unsent.add(next.item.deliveryId);
    return next.item;
  }

  private backlogsMayGo(nowMs: number, { leaves, lightIsComing }: Room): boolean {
    if (!leaves) return true;
    if (this.takenByBacklogs >= this.places.backlogs) return false;
    const inTheWay = lightIsComing || this.unsent.size > 0;
    return !inTheWay || nowMs - this.backlogTakenAtMs >= this.places.yieldMs;
  }

  /** Its request is out: from now on it waits for its receiver, and nobody here holds it up. */
  sent(deliveryId: string): void {
    this.unsent.delete(deliveryId);
  }

  free(deliveryId: string): void {
    this.unsent.delete(deliveryId);
    const place = this.taken.get(deliveryId);
    if (!place) return;
    this.taken.delete(deliveryId);
    if (place.backlog) this.takenByBacklogs -= 1;
  }
}
