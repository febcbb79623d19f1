import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { temporalLogger } from './temporal-logger.js';

function logged() {
  const lines: { level: number; msg: string; deliveryId?: string }[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[number]);
  return { lines, logger: temporalLogger(pino({ level: 'info' }, { write })) };
}

describe("Temporal's log", () => {
  it('is written at its level, with what it says of its place', () => {
    const { lines, logger } = logged();
    logger.warn('a poll failed', { deliveryId: 'dlv_1' });
    logger.log('ERROR', 'a worker ended');
    expect(lines).toMatchObject([
      { level: 40, msg: 'a poll failed', deliveryId: 'dlv_1' },
      { level: 50, msg: 'a worker ended' },
    ]);
  });

  it.each(['Workflow failed', '[TMPRL1104] Workflow task is being processed for 2 s'])(
    'keeps %p to whoever looks closely: a receiver brings it about',
    (message) => {
      const { lines, logger } = logged();
      logger.warn(message);
      // Workflows write by this one.
      logger.log('WARN', message);
      expect(lines).toEqual([]);
    },
  );

  it('leaves out what tells of ordinary running', () => {
    const { lines, logger } = logged();
    logger.info('Worker state changed');
    logger.log('INFO', 'Worker state changed');
    expect(lines).toEqual([]);
  });
});
