import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { CredentialExpiry } from '../credentials/credential-expiry.js';
import { TIDY_STATS } from '../endpoint-health/stats-tables.js';
import { FORGET_USAGE } from '../event-types/event-type-usage.js';
import { VersionSunsets } from '../event-types/version-sunsets.js';
import { LOGGER } from '../logging/logger.js';
import { Reencryption } from '../secrets/reencryption.js';
import { Database } from './database.js';
import { Retention } from './retention.js';

const HOUR_MS = 3_600_000;
/** How long it waits behind a dump or another long reader, and everybody who publishes behind it. There are weeks to try again. */
const PARTITIONS_LOCKED_WITHIN_MS = 200;
/** Rows that one statement removes. */
const PAGE = 10_000;

/** What the tables need now and then. Any process may do it, and doing it twice does no harm. */
@Injectable()
export class Maintenance {
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(
    private readonly database: Database,
    private readonly reencryption: Reencryption,
    private readonly retention: Retention,
    private readonly credentialExpiry: CredentialExpiry,
    private readonly sunsets: VersionSunsets,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  open(): void {
    this.timer = setInterval(() => {
      this.running = this.run();
    }, HOUR_MS);
    this.running = this.run();
  }

  /** Leaves undone what has not begun, to whoever does it next. */
  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.timer);
    await this.running;
  }

  /**
   * Makes the partitions of the weeks to come, removes what nobody can ask for any more, and brings what is encrypted to
   * the newest key. What fails keeps nothing else from being done.
   */
  async run(): Promise<void> {
    for (const step of this.steps) {
      if (this.closed) return;
      try {
        await step();
      } catch (error) {
        this.logger.warn(
          { err: error },
          'a part of the maintenance of the database failed; it is done again in an hour',
        );
      }
    }
  }

  private get steps(): (() => Promise<unknown>)[] {
    const run = (statement: string) => () => this.database.patiently(statement);
    return [
      () =>
        this.database.patiently(
          `SELECT posthorn_ensure_partitions(now(), now() + interval '28 days')`,
          PARTITIONS_LOCKED_WITHIN_MS,
        ),
      () => this.forgetAnswers(),
      ...TIDY_STATS.map(run),
      run(`DELETE FROM notifications WHERE NOT pending AND created_at < now() - interval '90 days'`),
      () => this.retention.run(() => this.closed),
      () => this.credentialExpiry.run(),
      () => this.sunsets.run(),
      run(FORGET_USAGE),
      run(`DELETE FROM limit_warnings WHERE day < now() - interval '2 days'`),
      () => this.reencrypt(),
      // Older than every delivery: their tokens lead nowhere.
      run(
        'DELETE FROM used_fetch_tokens WHERE delivery_id < (SELECT id FROM deliveries ORDER BY id LIMIT 1)',
      ),
      run('DELETE FROM portal_tokens WHERE expires_at <= now()'),
    ];
  }

  private async forgetAnswers(): Promise<void> {
    for (let forgotten = PAGE; forgotten === PAGE && !this.closed;)
      forgotten = (await this.database.query(FORGET_ANSWERS, [])).length;
  }

  private async reencrypt(): Promise<void> {
    const { reencrypted, unreadable } = await this.reencryption.run();
    if (reencrypted > 0) this.logger.info({ reencrypted }, 'values were encrypted again, by the newest key');
    for (const [why, values] of unreadable) this.logger.error({ values }, why);
  }
}

/** Answers to requests with an `Idempotency-Key`, page by page: an hour's may be more than one statement should remove. */
const FORGET_ANSWERS = `
  DELETE FROM idempotency_keys k USING (
    SELECT owner, key FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
    ORDER BY created_at LIMIT ${PAGE} FOR UPDATE SKIP LOCKED
  ) old WHERE k.owner = old.owner AND k.key = old.key RETURNING 1`;
