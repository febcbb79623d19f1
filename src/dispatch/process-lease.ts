import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database } from '../database/database.js';
import { LOGGER } from '../logging/logger.js';
import { UNTRIED } from './untried.js';

/** Seconds after its last renewal at which a lease ends. With the sweep of a second, others take over within 15. */
const LEASE_SECONDS = 10;
const RENEW_EVERY_MS = 2_000;
/** The holder stops counting on its lease this much earlier than others stop respecting it. */
const MARGIN_MS = 2_000;

/** Seconds after which somebody looks whether a delivery that is held under a lease is still seen to. */
export const IN_HAND_SECONDS = 30;
/** And after which again where it waits for its endpoint in the same process: each look is a write. No other is due later. */
export const STILL_IN_HAND_SECONDS = 300;

/**
 * What tells other processes that this one is alive, and that the deliveries it has in hand are its own. While the
 * lease cannot be renewed nothing new is begun under it; what others took over meanwhile is theirs.
 */
@Injectable()
export class ProcessLease {
  private id: string | null = null;
  private validUntilMs = 0;
  private timer: NodeJS.Timeout | undefined;
  private renewing: Promise<void> = Promise.resolve();
  private lost: () => void = () => undefined;

  constructor(
    private readonly database: Database,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** The lease to hold deliveries under; null while none is certain. */
  get current(): string | null {
    return performance.now() < this.validUntilMs ? this.id : null;
  }

  /** @param lost told when a lease has ended, and all that was held under it with it */
  async open(lost: () => void): Promise<void> {
    this.lost = lost;
    await this.renew();
    this.timer = setInterval(() => {
      this.renewing = this.renew();
    }, RENEW_EVERY_MS);
  }

  /** Gives back what is still held, for any process to take at once. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.renewing;
    if (this.id === null) return;
    this.validUntilMs = 0;
    await this.database
      .prepared('end_lease', `WITH ended AS (DELETE FROM leases WHERE id = $1 RETURNING id) ${GIVE_BACK}`, [
        this.id,
      ])
      .catch((error: unknown) => {
        this.logger.warn({ err: error }, 'what this process held is taken over when its lease ends');
      });
  }

  /** Takes from processes that have ended what they had in hand. @returns whether there was such a process */
  async takeOver(): Promise<boolean> {
    const [row] = await this.database.prepared<{ ended: number }>('take_over', TAKE_OVER, []);
    return (row?.ended ?? 0) > 0;
  }

  private async renew(): Promise<void> {
    const askedAtMs = performance.now();
    try {
      const [row] = await this.database.ahead<{ id: string }>('renew_lease', RENEW, [this.id]);
      if (!row) return;
      const ended = this.id;
      this.id = row.id;
      this.validUntilMs = askedAtMs + LEASE_SECONDS * 1000 - MARGIN_MS;
      if (ended === null || ended === row.id) return;
      this.logger.warn('this process was away for longer than its lease; others have its deliveries now');
      this.lost();
      // What it took after others had ended that lease, and before it knew, is held by nobody.
      await this.database.prepared('give_back_lost', `WITH ended AS (SELECT $1::bigint AS id) ${GIVE_BACK}`, [
        ended,
      ]);
    } catch (error) {
      this.logger.debug({ err: error }, 'the lease of this process could not be renewed');
    }
  }
}

const RENEW = `
  WITH renewed AS (
    UPDATE leases SET expires_at = now() + interval '${LEASE_SECONDS} seconds' WHERE id = $1 AND expires_at > now()
    RETURNING id
  ), begun AS (
    INSERT INTO leases (expires_at) SELECT now() + interval '${LEASE_SECONDS} seconds'
      WHERE NOT EXISTS (SELECT FROM renewed) RETURNING id
  )
  SELECT id FROM renewed UNION ALL SELECT id FROM begun`;

/** What else may still have the lease, as a retry by hand, is seen to whoever has it; asking for it would need another index. */
const GIVE_BACK = `
  UPDATE deliveries d SET lease = NULL, due_at = now() FROM ended
  WHERE d.lease = ended.id AND d.due_at <= now() + interval '${STILL_IN_HAND_SECONDS} seconds' AND ${UNTRIED}`;

const TAKE_OVER = `
  WITH ended AS (
    DELETE FROM leases WHERE expires_at <= now() RETURNING id
  ), given_back AS (
    ${GIVE_BACK} RETURNING d.id
  )
  SELECT count(*)::int AS ended FROM ended`;
