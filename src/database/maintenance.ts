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

/** What the tables need now and then. Any process may do it, and doing it twice does no harm. */
@Injectable()
export class Maintenance {
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();

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

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.running;
  }

  /**
   * Makes the partitions of the weeks to come, removes what nobody can ask for any more, and brings what is encrypted to
   * the newest key.
   */
  async run(): Promise<void> {
    try {
      await this.database.query(`SELECT posthorn_ensure_partitions(now(), now() + interval '28 days')`, []);
      await this.database.query(
        `DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'`,
        [],
      );
      for (const statement of TIDY_STATS) await this.database.query(statement, []);
      await this.database.query(
        `DELETE FROM notifications WHERE NOT pending AND created_at < now() - interval '90 days'`,
        [],
      );
      await this.retention.run();
      await this.credentialExpiry.run();
      await this.sunsets.run();
      await this.database.query(FORGET_USAGE, []);
      await this.database.query(`DELETE FROM limit_warnings WHERE day < now() - interval '2 days'`, []);
      const { reencrypted, unreadable } = await this.reencryption.run();
      if (reencrypted > 0)
        this.logger.info({ reencrypted }, 'values were encrypted again, by the newest key');
      for (const [why, values] of unreadable) this.logger.error({ values }, why);
      // Older than every delivery: their tokens lead nowhere.
      await this.database.query(
        'DELETE FROM used_fetch_tokens WHERE delivery_id < (SELECT id FROM deliveries ORDER BY id LIMIT 1)',
        [],
      );
      await this.database.query('DELETE FROM portal_tokens WHERE expires_at <= now()', []);
    } catch (error) {
      this.logger.warn({ err: error }, 'maintenance of the database failed; it is done again in an hour');
    }
  }
}
