import { randomUUID } from 'node:crypto';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { AttemptSummary } from '../../workflows/contracts.js';
import { until } from '../../test/support/until.js';
import type { DeliveryRef, DeliveryStarter } from './delivery-starter.js';
import { HandOver } from './hand-over.js';

const ATTEMPT: AttemptSummary = {
  number: 1,
  trigger: 'schedule',
  startedAtMs: 0,
  durationMs: 1,
  outcome: 'transient',
};
const START_TAKES_MS = 20;

/** Starts that take their time and are noted, in place of Temporal's. */
class Starts {
  readonly beganAtMs: number[] = [];
  readonly endedAtMs: number[] = [];
  most = 0;
  failure: Error | undefined;

  async start(): Promise<boolean> {
    this.beganAtMs.push(performance.now());
    this.most = Math.max(this.most, this.beganAtMs.length - this.endedAtMs.length);
    await sleep(START_TAKES_MS);
    this.endedAtMs.push(performance.now());
    if (this.failure) throw this.failure;
    return true;
  }
}

function handOverOf(count: number, freshAreExpected: () => boolean): { starts: Starts; handOver: HandOver } {
  const starts = new Starts();
  // Nothing but start is asked of it, and Temporal's own cannot be made to take a known time.
  const handOver = new HandOver(starts as unknown as DeliveryStarter, pino({ level: 'silent' }));
  handOver.leaveRoomWhile(freshAreExpected);
  for (let index = 0; index < count; index += 1) handOver.offer(delivery(), ATTEMPT, 5_000);
  return { starts, handOver };
}

const delivery = (): DeliveryRef => ({
  deliveryId: randomUUID(),
  accountId: randomUUID(),
  eventId: randomUUID(),
  endpointId: randomUUID(),
  eventType: 'order.paid',
  url: 'http://127.0.0.1/',
  priority: 3,
});

const ended = (starts: Starts, count: number) =>
  until(
    () => starts.endedAtMs.length,
    (length) => length >= count,
  );

describe('what is given to workflows', () => {
  it('is started two at a time', async () => {
    const { starts, handOver } = handOverOf(5, () => false);
    expect(handOver.waiting).toBe(3);
    await ended(starts, 5);
    expect([starts.most, handOver.waiting]).toEqual([2, 0]);
  });

  it('goes on at once after each start while nobody else is expected', async () => {
    const { starts } = handOverOf(3, () => false);
    await ended(starts, 1);
    await turn();
    expect(starts.beganAtMs).toHaveLength(3);
    await ended(starts, 3);
  });

  it('leaves four times what a start took to fresh deliveries while they are expected', async () => {
    const { starts } = handOverOf(3, () => true);
    await ended(starts, 3);
    const [firstEnd = NaN] = starts.endedAtMs;
    expect((starts.beganAtMs[2] ?? NaN) - firstEnd).toBeGreaterThanOrEqual(4 * (START_TAKES_MS - 2));
  });

  it('goes on after a start that failed', async () => {
    const { starts, handOver } = handOverOf(0, () => false);
    starts.failure = new Error('refused');
    for (let index = 0; index < 4; index += 1) handOver.offer(delivery(), ATTEMPT, 0);
    await ended(starts, 4);
    expect(handOver.waiting).toBe(0);
  });

  it('ends with what is under way, and leaves the rest to the reconciler', async () => {
    const { starts, handOver } = handOverOf(5, () => true);
    await handOver.close();
    handOver.offer(delivery(), ATTEMPT, 0);
    expect([starts.beganAtMs.length, starts.endedAtMs.length, handOver.waiting]).toEqual([2, 2, 0]);
  });
});
