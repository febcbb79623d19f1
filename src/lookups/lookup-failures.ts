import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { Database } from '../database/database.js';
import { Gathered } from '../database/gathered.js';
import { LOGGER } from '../logging/logger.js';

const WRITE_AFTER_MS = 500;

/**
 * Tells the operator that a lookup fails: the latest failure stands in the lookup, and the log has a line of it once an hour
 * at most, however many processes see it.
 */
@Injectable()
export class LookupFailures {
  private readonly gathered: Gathered<string>;

  constructor(
    private readonly database: Database,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.gathered = new Gathered({
      write: (failing) => this.tell(failing),
      afterMs: WRITE_AFTER_MS,
      logger,
      complaint: 'failures of lookups could not be written down',
    });
  }

  note(name: string, detail: string): void {
    this.gathered.note(name, detail);
  }

  close(): Promise<void> {
    return this.gathered.close();
  }

  private async tell(failing: ReadonlyMap<string, string>): Promise<void> {
    const news = await this.database.prepared<{ name: string; failure: string }>(
      'tell_lookup_failing',
      TELL,
      [[...failing.keys()], [...failing.values()]],
    );
    for (const { name, failure } of news) this.logger.warn({ lookup: name, failure }, 'a lookup fails');
  }
}

const TELL = `
  WITH failing AS (
    SELECT l.name, f.failure, l.warned_at IS NULL OR l.warned_at <= now() - interval '1 hour' AS due
      FROM lookups l JOIN unnest($1::text[], $2::text[]) AS f (name, failure) ON f.name = l.name
      ORDER BY l.name FOR NO KEY UPDATE OF l
  ), told AS (
    UPDATE lookups l SET failed_at = now(), failure = f.failure, warned_at = CASE WHEN f.due THEN now() ELSE l.warned_at END
      FROM failing f WHERE f.name = l.name
  )
  SELECT name, failure FROM failing WHERE due`;
