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
    for (let page = 0; page < WAITED_FOR; page += 1) if ((await this.page(endpointId)) !== 'more') return;
  }

  private async sweep(): Promise<void> {
    try {
      while (await this.pageOfEach());
    } catch (error) {
      this.complain(error);
    }
  }

  /** @returns whether there is more to do at once */
  private async pageOfEach(): Promise<boolean> {
    const changed = await this.database.prepared<{ endpoint_id: string }>(
      'changed_backlogs',
      'SELECT endpoint_id FROM backlog_changes FOR UPDATE SKIP LOCKED',
      [],
    );
    let isMore = false;
    for (const { endpoint_id: endpointId } of changed) {
      if (this.rounds.closed) return false;
      if ((await this.page(endpointId)) === 'more') isMore = true;
    }
    return isMore;
  }

  private async page(endpointId: string): Promise<'more' | 'done' | 'failed'> {
    try {
      const isDone = await this.database.transaction((client) => followPage(client, endpointId));
      this.reconciler.nudge();
      return isDone ? 'done' : 'more';
    } catch (error) {
      this.complain(error);
      return 'failed';
    }
  }

  private complain(error: unknown): void {
    if (isUnavailable(error)) return;
    this.logger.error({ err: error }, 'deliveries could not follow their endpoint: tried again');
  }
}
