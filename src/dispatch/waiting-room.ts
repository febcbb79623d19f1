import type { FairQueue, Queued } from './fair-queue.js';

/** Past this many waiting, deliveries stay in PostgreSQL: memory is bounded, and nothing is lost. */
const MAX_WAITING = 50_000;
/** Once half of that is taken, endpoints with this many waiting get no more. */
const MAX_EACH_WHEN_CROWDED = 100;

/** How many deliveries may wait for their first attempt in one process, all together and for one endpoint. */
export class WaitingRoom {
  /** @param resting those that wait for nothing but their time */
  constructor(
    private readonly queues: readonly Pick<FairQueue<Queued>, 'size' | 'endpoints' | 'waitingFor'>[],
    private readonly resting: { readonly size: number },
  ) {}

  get taken(): number {
    return this.queues.reduce((sum, { size }) => sum + size, this.resting.size);
  }

  get left(): number {
    return Math.max(0, MAX_WAITING - this.taken);
  }

  isThereFor(endpointId: string): boolean {
    return this.left > 0 && (!this.isCrowded || !this.hasItsShare(endpointId));
  }

  /** Endpoints that there is no room for, while there is for others. */
  get full(): string[] {
    if (!this.isCrowded) return [];
    const endpoints = new Set(this.queues.flatMap((queue) => [...queue.endpoints]));
    return [...endpoints].filter((endpointId) => this.hasItsShare(endpointId));
  }

  private get isCrowded(): boolean {
    return this.taken >= MAX_WAITING / 2;
  }

  private hasItsShare(endpointId: string): boolean {
    const waiting = this.queues.reduce((sum, queue) => sum + queue.waitingFor(endpointId), 0);
    return waiting >= MAX_EACH_WHEN_CROWDED;
  }
}
