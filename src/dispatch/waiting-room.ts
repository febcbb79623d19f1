import type { FairQueue, Queued } from './fair-queue.js';

/** Deliveries that a process claims at once. */
export const MAX_CLAIMED = 500;
const MAX_EACH_WHEN_CROWDED = 100;

export type Whose = Pick<Queued, 'endpointId' | 'accountId'>;

/**
 * How many deliveries may wait for their first attempt in one process: all together, for one endpoint, and of one account,
 * which may have no more than it leaves.
 */
export class WaitingRoom {
  /**
   * Once so many are there, endpoints with {@link MAX_EACH_WHEN_CROWDED} waiting get no more, nor do accounts that have more than
   * is left. It is less than half: one endpoint by itself does not fill its account's share.
   */
  private readonly crowdedFrom: number;

  /**
   * @param most past so many, deliveries stay in PostgreSQL: memory is bounded, and nothing is lost
   * @param resting those that wait for nothing but their time
   */
  constructor(
    private readonly most: number,
    private readonly queues: readonly Pick<
      FairQueue<Queued>,
      'size' | 'endpoints' | 'waitingFor' | 'waitingOf'
    >[],
    private readonly resting: { readonly size: number; of: (accountId: string) => number },
  ) {
    this.crowdedFrom = Math.floor(most / 2) - MAX_CLAIMED;
  }

  get taken(): number {
    return this.queues.reduce((sum, { size }) => sum + size, this.resting.size);
  }

  get left(): number {
    return Math.max(0, this.most - this.taken);
  }

  isThereFor({ endpointId, accountId }: Whose): boolean {
    if (!this.isCrowded) return true;
    return this.left > 0 && !this.isFullFor(endpointId) && !this.isFullOf(accountId);
  }

  /** How many more may be claimed, all together, before others would get less for it. */
  get spare(): number {
    return this.isNearlyCrowded ? this.left : this.leftUntilCrowded - MAX_CLAIMED;
  }

  /** How many of {@link spare} may be of this endpoint. */
  roomFor({ endpointId, accountId }: Whose): number {
    if (!this.isNearlyCrowded) return this.spare;
    if (this.isFullOf(accountId)) return 0;
    return Math.min(this.left, Math.max(0, MAX_EACH_WHEN_CROWDED - this.waitingFor(endpointId)));
  }

  /**
   * Endpoints and accounts that there is no room for, while there is for others; somewhat earlier than there is none, so that
   * what is claimed has room.
   */
  get full(): { endpoints: string[]; accounts: string[] } {
    if (!this.isNearlyCrowded) return { endpoints: [], accounts: [] };
    const waiting = this.queues.flatMap((queue) => [...queue.endpoints]);
    const endpoints = new Set(waiting.map(({ endpointId }) => endpointId));
    const accounts = new Set(waiting.map(({ accountId }) => accountId));
    return {
      endpoints: [...endpoints].filter((endpointId) => this.isFullFor(endpointId)),
      accounts: [...accounts].filter((accountId) => this.isFullOf(accountId)),
    };
  }

  private get isCrowded(): boolean {
    return this.leftUntilCrowded <= 0;
  }

  private get isNearlyCrowded(): boolean {
    return this.leftUntilCrowded <= MAX_CLAIMED;
  }

  private get leftUntilCrowded(): number {
    return this.crowdedFrom - this.taken;
  }

  private waitingFor(endpointId: string): number {
    return this.queues.reduce((sum, queue) => sum + queue.waitingFor(endpointId), 0);
  }

  private isFullFor(endpointId: string): boolean {
    return this.waitingFor(endpointId) >= MAX_EACH_WHEN_CROWDED;
  }

  private isFullOf(accountId: string): boolean {
    const waiting = this.queues.reduce(
      (sum, queue) => sum + queue.waitingOf(accountId),
      this.resting.of(accountId),
    );
    return waiting >= this.left;
  }
}
