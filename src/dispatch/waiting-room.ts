import type { FairQueue, Queued } from './fair-queue.js';

/** Past this many waiting, deliveries stay in PostgreSQL: memory is bounded, and nothing is lost. */
const MAX_WAITING = 50_000;
/** Once half of that is taken, endpoints with this many waiting get no more, nor do accounts that have more than is left. */
const MAX_EACH_WHEN_CROWDED = 100;

type Whose = Pick<Queued, 'endpointId' | 'accountId'>;

/**
 * How many deliveries may wait for their first attempt in one process: all together, for one endpoint, and of one account,
 * which may have no more than it leaves.
 */
export class WaitingRoom {
  /** @param resting those that wait for nothing but their time */
  constructor(
    private readonly queues: readonly Pick<
      FairQueue<Queued>,
      'size' | 'endpoints' | 'waitingFor' | 'waitingOf'
    >[],
    private readonly resting: { readonly size: number; of: (accountId: string) => number },
  ) {}

  get taken(): number {
    return this.queues.reduce((sum, { size }) => sum + size, this.resting.size);
  }

  get left(): number {
    return Math.max(0, MAX_WAITING - this.taken);
  }

  isThereFor({ endpointId, accountId }: Whose): boolean {
    if (!this.isCrowded) return true;
    return this.left > 0 && !this.isFullFor(endpointId) && !this.isFullOf(accountId);
  }

  /** Endpoints and accounts that there is no room for, while there is for others. */
  get full(): { endpoints: string[]; accounts: string[] } {
    if (!this.isCrowded) return { endpoints: [], accounts: [] };
    const waiting = this.queues.flatMap((queue) => [...queue.endpoints]);
    const endpoints = new Set(waiting.map(({ endpointId }) => endpointId));
    const accounts = new Set(waiting.map(({ accountId }) => accountId));
    return {
      endpoints: [...endpoints].filter((endpointId) => this.isFullFor(endpointId)),
      accounts: [...accounts].filter((accountId) => this.isFullOf(accountId)),
    };
  }

  private get isCrowded(): boolean {
    return this.taken >= MAX_WAITING / 2;
  }

  private isFullFor(endpointId: string): boolean {
    const waiting = this.queues.reduce((sum, queue) => sum + queue.waitingFor(endpointId), 0);
    return waiting >= MAX_EACH_WHEN_CROWDED;
  }

  private isFullOf(accountId: string): boolean {
    const waiting = this.queues.reduce(
      (sum, queue) => sum + queue.waitingOf(accountId),
      this.resting.of(accountId),
    );
    return waiting >= this.left;
  }
}
