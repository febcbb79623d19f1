import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { LOGGER } from '../logging/logger.js';
import { Database } from './database.js';

const HOUR_MS = 3_600_000;

/** What the tables need now and then. Any process may do it, and doing it twice does no harm. */
@Injectable()
export class Maintenance {
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly database: Database,
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

  /** Makes the partitions of the weeks to come and removes what nobody can ask for any more. */
  async run(): Promise<void> {
    try {
      await this.database.query(`SELECT posthorn_ensure_partitions(now(), now() + interval '28 days')`, []);
      await this.database.query(
        `DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'`,
        [],
      );
      await this.database.query('DELETE FROM endpoint_secrets WHERE expires_at <= now()', []);
    } catch (error) {
      this.logger.warn({ err: error }, 'maintenance of the database failed; it is done again in an hour');
    }
  }
}
