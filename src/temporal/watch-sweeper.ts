import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { isUnavailable } from '../database/database.js';
import { LOGGER } from '../logging/logger.js';
import { NotificationsService } from '../notifications/notifications.service.js';
import { EndpointWatches } from './endpoint-watches.js';

const SWEEP_EVERY_MS = 10_000;
/** How late something may be before somebody sees to it that its workflow runs. */
const LATE_SECONDS = 30;

/** Wakes the workflows beside those of deliveries: Temporal may have been away, or have lost them. Any process may. */
@Injectable()
export class WatchSweeper {
  private timer: NodeJS.Timeout | undefined;
  private sweeping: Promise<void> = Promise.resolve();

  constructor(
    private readonly watches: EndpointWatches,
    private readonly notifications: NotificationsService,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  open(): void {
    this.timer = setInterval(() => {
      this.sweeping = this.sweeping.then(() => this.sweep());
    }, SWEEP_EVERY_MS);
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.sweeping;
  }

  private async sweep(): Promise<void> {
    try {
      await this.watches.wakeLate('health', LATE_SECONDS);
      await this.watches.wakeLate('verification', LATE_SECONDS);
      await this.notifications.wakeLate(LATE_SECONDS);
    } catch (error) {
      if (!isUnavailable(error)) this.logger.error({ err: error }, 'what is late could not be woken');
    }
  }
}
