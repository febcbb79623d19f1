import type { Logger as TemporalLogger, LogLevel } from '@temporalio/worker';
import type { Logger } from 'pino';

/** Temporal's own lines, from its workers and out of workflows, to where the process's others go. */
export function temporalLogger(logger: Logger): TemporalLogger {
  const log = (level: LogLevel, message: string, meta?: object) => {
    logger[isExpected(message) ? 'debug' : LEVELS[level]]({ ...meta }, message);
  };
  return {
    log,
    trace: (message, meta) => log('TRACE', message, meta),
    debug: (message, meta) => log('DEBUG', message, meta),
    info: (message, meta) => log('INFO', message, meta),
    warn: (message, meta) => log('WARN', message, meta),
    error: (message, meta) => log('ERROR', message, meta),
  };
}

/** A delivery that is given up fails its workflow, and one whose receiver is slow holds its task open (TMPRL1104). */
const isExpected = (message: string): boolean =>
  message === 'Workflow failed' || message.includes('TMPRL1104');

const LEVELS = { TRACE: 'trace', DEBUG: 'debug', INFO: 'debug', WARN: 'warn', ERROR: 'error' } as const;
