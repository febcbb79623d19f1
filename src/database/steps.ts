import type { Logger } from 'pino';
import { isUnavailable } from './database.js';

/** Takes each step, whatever became of those before it. A database that is away is nobody's fault here, and comes back. */
export async function takeEach(
  steps: readonly (() => Promise<unknown>)[],
  logger: Logger,
  complaint: string,
): Promise<void> {
  for (const step of steps)
    try {
      await step();
    } catch (error) {
      logger[isUnavailable(error) ? 'debug' : 'error']({ err: error }, complaint);
    }
}
