import type { Logger } from 'pino';
import { isUnavailable } from './database.js';

export interface GatheredOptions<Value> {
  /** Is given the latest of each key, in the order of the keys: so two processes never wait for each other's rows. */
  write: (noted: ReadonlyMap<string, Value>) => Promise<void>;
  /** How long what comes first waits for more. */
  afterMs: number;
  logger: Logger;
  /** What is logged when it could not be written. It is lost then: what goes on is noted again. */
  complaint: string;
}

/** What may be noted many times a second, and is written now and then. */
export class Gathered<Value> {
  private noted = new Map<string, Value>();
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();

  constructor(private readonly options: GatheredOptions<Value>) {}

  note(key: string, value: Value): void {
    this.noted.set(key, value);
    this.timer ??= setTimeout(() => this.flush(), this.options.afterMs).unref();
  }

  async close(): Promise<void> {
    this.flush();
    await this.writing;
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.noted.size === 0) return;
    const noted = new Map([...this.noted].sort(([a], [b]) => (a < b ? -1 : 1)));
    this.noted = new Map();
    const { write, logger, complaint } = this.options;
    this.writing = this.writing
      .then(() => write(noted))
      .catch((error: unknown) => {
        if (!isUnavailable(error)) logger.error({ err: error }, complaint);
      });
  }
}
