/** What waits for one of a few places. */
export interface Waiting {
  accountId: string;
  endpointId: string;
  /** Of a program that runs for many endpoints, and that their own do not wait for; its cost is known by it. */
  programId?: string | undefined;
}

const COSTLY_FOR_MS = 60_000;
const MAX_COSTLY = 10_000;

/**
 * Who runs next where places are few: endpoints take turns. However much an account has to run, a place is left to others;
 * and those that had to be ended lately share one place, so that what they cost, they cost each other.
 */
export class Turns<Item extends Waiting> {
  private readonly queues = new Map<string, Item[]>();
  private readonly running = new Map<string, number>();
  private readonly costly = new Map<string, number>();
  private costlyRunning = 0;
  private count = 0;

  /** @param places two at least */
  constructor(private readonly places: number) {}

  get size(): number {
    return this.count;
  }

  /** How many wait in the same queue. */
  waitingWith(item: Waiting): number {
    return this.queues.get(queueOf(item))?.length ?? 0;
  }

  push(item: Item): void {
    const queue = this.queues.get(queueOf(item));
    if (queue) queue.push(item);
    else this.queues.set(queueOf(item), [item]);
    this.count += 1;
  }

  /** Takes back what waits. @returns false when its turn has come already */
  remove(item: Item): boolean {
    const queue = this.queues.get(queueOf(item));
    const index = queue?.indexOf(item) ?? -1;
    if (!queue || index === -1) return false;
    queue.splice(index, 1);
    if (queue.length === 0) this.queues.delete(queueOf(item));
    this.count -= 1;
    return true;
  }

  /** All that wait, who wait no longer. */
  clear(): Item[] {
    const waiting = [...this.queues.values()].flat();
    this.queues.clear();
    this.count = 0;
    return waiting;
  }

  /** The next one, which has a place until what is returned with it is called. */
  take(nowMs: number): { item: Item; free: () => void } | undefined {
    for (const [key, queue] of this.queues) {
      const [item] = queue;
      if (!item || !this.mayRun(item, nowMs)) continue;
      queue.shift();
      this.count -= 1;
      // Behind all others, when there is more of it.
      this.queues.delete(key);
      if (queue.length > 0) this.queues.set(key, queue);
      return { item, free: this.begin(item, nowMs) };
    }
    return undefined;
  }

  /** It had to be ended. */
  wasCostly(item: Waiting, nowMs: number): void {
    const program = programOf(item);
    this.costly.delete(program);
    if (this.costly.size >= MAX_COSTLY) this.costly.delete(this.costly.keys().next().value ?? '');
    this.costly.set(program, nowMs + COSTLY_FOR_MS);
  }

  private mayRun(item: Item, nowMs: number): boolean {
    if ((this.running.get(item.accountId) ?? 0) >= this.places - 1) return false;
    return this.costlyRunning === 0 || !this.isCostly(item, nowMs);
  }

  /** Whether it had to be ended lately. */
  isCostly(item: Waiting, nowMs: number): boolean {
    const program = programOf(item);
    const untilMs = this.costly.get(program);
    if (untilMs === undefined) return false;
    if (untilMs > nowMs) return true;
    this.costly.delete(program);
    return false;
  }

  private begin(item: Item, nowMs: number): () => void {
    const { accountId } = item;
    const isCostly = this.isCostly(item, nowMs);
    this.running.set(accountId, (this.running.get(accountId) ?? 0) + 1);
    if (isCostly) this.costlyRunning += 1;
    return () => {
      const left = (this.running.get(accountId) ?? 1) - 1;
      if (left > 0) this.running.set(accountId, left);
      else this.running.delete(accountId);
      if (isCostly) this.costlyRunning -= 1;
    };
  }
}

const queueOf = ({ endpointId, programId }: Waiting): string =>
  programId === undefined ? endpointId : `${endpointId}/${programId}`;

const programOf = ({ endpointId, programId }: Waiting): string => programId ?? endpointId;
