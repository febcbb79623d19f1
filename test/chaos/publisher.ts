import { EventEmitter, once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { type Api, ApiError } from './api.js';
import type { Customer } from './customers.js';

/** An event that was answered 202. */
export interface Accepted {
  id: string;
  accountId: string;
  atMs: number;
}

export interface PublisherLedger {
  /** By external id. */
  accepted: Map<string, Accepted>;
  /** Tries that were not answered 202 and were made again. */
  triedAgain: number;
  /** Publishes that had been committed although their first answer never came. */
  answersLost: number;
  /** Answers that no fault of ours excuses, and publishes that were never answered. */
  refused: string[];
}

const PER_SECOND = 10;
const AT_ONCE = 64;
const AGAIN_AFTER_MS = 500;
const GIVE_UP_AFTER_MS = 120_000;

/** Publishes at a steady pace whatever happens, each event until it is accepted, and keeps a ledger. */
export class Publisher {
  readonly ledger: PublisherLedger = { accepted: new Map(), triedAgain: 0, answersLost: 0, refused: [] };
  private readonly events = new EventEmitter();
  private readonly underWay = new Set<Promise<void>>();
  private readonly timer: NodeJS.Timeout;
  private published = 0;
  private closed = false;

  constructor(
    private readonly api: Api,
    private readonly customers: Customer[],
  ) {
    this.timer = setInterval(() => this.publishNext(), 1000 / PER_SECOND);
  }

  /** Resolves when this many more were accepted. */
  async accepts(count: number): Promise<void> {
    const wanted = this.ledger.accepted.size + count;
    const signal = AbortSignal.timeout(GIVE_UP_AFTER_MS);
    while (this.ledger.accepted.size < wanted) await once(this.events, 'accepted', { signal });
  }

  /** Resolves when a publish is answered by an error, or not at all. */
  async isRefused(): Promise<void> {
    await once(this.events, 'refused', { signal: AbortSignal.timeout(GIVE_UP_AFTER_MS) });
  }

  /** Begins nothing more, and resolves when all that was begun is accepted. */
  async finish(): Promise<void> {
    clearInterval(this.timer);
    await Promise.all(this.underWay);
  }

  /** Gives up at once. */
  close(): void {
    clearInterval(this.timer);
    this.closed = true;
  }

  private publishNext(): void {
    if (this.underWay.size >= AT_ONCE) return;
    const customer = this.customers[this.published % this.customers.length];
    this.published += 1;
    if (!customer) return;
    const publish = this.publish(customer.accountId, `order-${this.published}`).finally(() =>
      this.underWay.delete(publish),
    );
    this.underWay.add(publish);
  }

  private async publish(accountId: string, externalId: string): Promise<void> {
    const deadline = Date.now() + GIVE_UP_AFTER_MS;
    const body = { type: 'order.placed', externalId, data: { externalId } };
    while (!this.closed) {
      try {
        const { id, duplicate } = await this.api.publish(accountId, body);
        if (duplicate) this.ledger.answersLost += 1;
        this.ledger.accepted.set(externalId, { id, accountId, atMs: Date.now() });
        this.events.emit('accepted');
        return;
      } catch (error) {
        if (Date.now() > deadline || (error instanceof ApiError && error.status !== 503)) {
          this.ledger.refused.push(`${externalId}: ${(error as Error).message}`);
          return;
        }
        this.ledger.triedAgain += 1;
        this.events.emit('refused');
        await wait(AGAIN_AFTER_MS);
      }
    }
  }
}
