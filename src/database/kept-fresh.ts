import type { Logger } from 'pino';
import { isUnavailable } from './database.js';

/** A change counts in every process within a second. */
const REFRESH_EVERY_MS = 500;

/** Reads again and again what every publish and every attempt asks for, so that it is in memory and costs no statement. */
export class KeptFresh {
  private timer: NodeJS.Timeout | undefined;
  /** The one that is under way, or was the last. */
  private refreshing: Promise<void> = Promise.resolve();
  /** The one that begins behind it. */
  private next: Promise<void> | undefined;
  private closed = false;

  /**
   * @param read takes over what the database has
   * @param what is read, as the log calls it
   */
  constructor(
    private readonly read: () => Promise<void>,
    private readonly what: string,
    private readonly logger: Logger,
  ) {}

  /** Resolves once it was read for the first time. */
  async open(): Promise<void> {
    await this.refresh();
    this.schedule();
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.next?.catch(() => undefined);
    await this.refreshing;
  }

  /** Reads again what may have changed: at once in this process, for whoever has changed it. */
  refresh(): Promise<void> {
    // One after the other, so that what was read first does not come last; and one for all who ask while it has not begun.
    this.next ??= this.refreshing.then(() => {
      this.next = undefined;
      const reading = this.read();
      this.refreshing = reading.catch(() => undefined);
      return reading;
    });
    return this.next;
  }

  private schedule(): void {
    if (this.closed) return;
    this.timer = setTimeout(() => {
      this.refresh()
        .catch((error: unknown) => {
          if (!isUnavailable(error)) this.logger.error({ err: error }, `${this.what} could not be read`);
        })
        .finally(() => this.schedule());
    }, REFRESH_EVERY_MS).unref();
  }
}
