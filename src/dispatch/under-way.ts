import { Tally } from '../common/tally.js';

/**
 * First attempts that a process has under way, recorded or not, with what is about to begin or to be tried again. An account
 * may have no more of them than it leaves: receivers that hang are not to take everybody's places.
 */
export class UnderWay {
  private readonly works = new Map<string, Promise<void>>();
  private readonly byAccount = new Tally();
  /** Endpoints of accounts that had as much under way as they left to others. */
  private readonly atShare = new Map<string, Set<string>>();

  /**
   * @param most that may be under way at once
   * @param letGo told of endpoints whose account has room again
   */
  constructor(
    private readonly most: number,
    private readonly letGo: (endpointId: string) => void,
  ) {}

  get isFull(): boolean {
    return this.works.size >= this.most;
  }

  has(deliveryId: string): boolean {
    return this.works.has(deliveryId);
  }

  /** Whether one more of the account may begin. Where not, its endpoint is let go as soon as one of them has ended. */
  hasShare(endpointId: string, accountId: string): boolean {
    if (this.byAccount.of(accountId) < this.most - this.works.size) return true;
    const endpoints = this.atShare.get(accountId) ?? new Set();
    this.atShare.set(accountId, endpoints.add(endpointId));
    return false;
  }

  /** @param end what follows once the work has ended, and is under way no more */
  add<Result>(
    { deliveryId, accountId }: { deliveryId: string; accountId: string },
    work: Promise<Result>,
    end: (result: Result) => void,
  ): void {
    this.byAccount.add(accountId);
    const ending = work.then((result) => {
      this.works.delete(deliveryId);
      this.byAccount.add(accountId, -1);
      for (const endpointId of this.atShare.get(accountId) ?? []) this.letGo(endpointId);
      this.atShare.delete(accountId);
      end(result);
    });
    this.works.set(deliveryId, ending);
  }

  /** Resolves once all that is under way now has ended. */
  async ended(): Promise<void> {
    await Promise.all(this.works.values());
  }
}
