import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { Rounds } from '../common/rounds.js';
import { Database, isUnavailable } from '../database/database.js';
import { Reconciler } from '../dispatch/reconciler.js';
import { LOGGER } from '../logging/logger.js';
import { followPage } from './backlog-changes.js';

/** Pages for which whoever has changed the endpoint waits. */
const WAITED_FOR = 20;
const SWEEP_EVERY_MS = 1_000;

/**
 * Has the open deliveries of endpoints follow what has become of these, page by page, however many there are. An attempt
 * looks at its endpoint itself: until its page comes, a delivery is shown as it was, and is not sent where it must not be.
 */
@Injectable()
export class Backlog {
  private readonly rounds = new Rounds(() => this.sweep(), SWEEP_EVERY_MS);

  constructor(
    private readonly database: Database,
    private readonly reconciler: Reconciler,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  open(): void {
    this.rounds.open();
  }

  close(): Promise<void> {
    return this.rounds.close();
  }

  /**
   * Resolves when the open deliveries have followed, or where they are very many, when the first of them have. It never
   * rejects: the change is made, and what could not follow it now does later.
   */
  async follow(endpointId: string): Promise<void> {
    for (let page = 0; page < WAITED_FOR; page += 1)
      if ((await this.page(endpointId, true)) !== 'more') return;
  }

  private async sweep(): Promise<void> {
    try {
      while (await this.pageOfEach());
    } catch (error) {
      this.complain(error);
    }
  }

  /** @returns whether there may be more to do at once */
  private async pageOfEach(): Promise<boolean> {
    const changed = await this.database.prepared<{ endpoint_id: string }>('changed_backlogs', CHANGED, []);
    let isGettingOn = false;
    for (const { endpoint_id: endpointId } of changed) {
      if (this.rounds.closed) return false;
      if ((await this.page(endpointId, false)) !== 'none') isGettingOn = true;
    }
    return isGettingOn;
  }

  private async page(endpointId: string, wait: boolean): Promise<'more' | 'done' | 'none'> {
    try {
      const done = await this.database.transaction((client) => followPage(client, endpointId, wait));
      this.reconciler.nudge();
      return done;
    } catch (error) {
      this.complain(error);
      return 'none';
    }
  }

  private complain(error: unknown): void {
    if (isUnavailable(error)) return;
    this.logger.error({ err: error }, 'deliveries could not follow their endpoint: tried again');
  }
}

/** Some of each account, so that one with very many endpoints does not keep the others waiting. */
const CHANGED = `
  SELECT endpoint_id FROM (
    SELECT b.endpoint_id, row_number() OVER (PARTITION BY e.account_id ORDER BY b.endpoint_id) AS turn
    FROM backlog_changes b JOIN endpoints e ON e.id = b.endpoint_id
  ) changed WHERE turn <= 8 ORDER BY turn LIMIT 256`;
