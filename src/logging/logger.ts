import type { LoggerService } from '@nestjs/common';
import { type Logger, pino } from 'pino';

/** Injects the process's logger. */
export const LOGGER = Symbol('logger');

/** JSON lines on standard error, so that standard output stays for what a command prints. */
export function createLogger(level: string): Logger {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, redact: ['*.authorization', '*.secret'] },
    pino.destination({ fd: 2, sync: true }),
  );
}

/** Hands Nest's own lines to pino. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown): void {
    this.logger.debug(String(message));
  }
  warn(message: unknown): void {
    this.logger.warn(String(message));
  }
  error(message: unknown, ...rest: unknown[]): void {
    this.logger.error({ detail: rest.map(String) }, String(message));
  }
  fatal(message: unknown): void {
    this.logger.fatal(String(message));
  }
}
