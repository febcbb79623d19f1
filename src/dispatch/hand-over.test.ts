import { randomUUID } from 'node:crypto';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, jest } from '@jest/globals';
import { pino } from 'pino';
import type { AttemptSummary } from '../../workflows/contracts.js';
import { until } from '../../test/support/until.js';
import { readSettings } from '../config/settings.js';
import type { Database } from '../database/database.js';
import { Pacer } from '../pacing/pacer.js';
import type { Reservations } from '../pacing/reservations.js';
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
const HOUR_MS = 3_600_000;

type StartOptions = Parameters<DeliveryStarter['start']>[1];

/** Starts that take their time and are noted, in place of Temporal's. */
class Starts {
  readonly beganAtMs: number[] = [];
  readonly endedAtMs: number[] = [];
  readonly from: StartOptions['from'][] = [];
  readonly slow: boolean[] = [];
  most = 0;
  failure: Error | undefined;

  async start(_ref: DeliveryRef, { slow = false, from }: StartOptions): Promise<boolean> {
    this.slow.push(slow);
    this.from.push(from);
    this.beganAtMs.push(performance.now());
    this.most = Math.max(this.most, this.beganAtMs.length - this.endedAtMs.length);
    await sleep(START_TAKES_MS);
    this.endedAtMs.push(performance.now());
    if (this.failure) throw this.failure;
    return true;
  }
}

/** @param delaysMs until the next attempt of each */
function handOverOf(
  delaysMs: number[],
  freshAreExpected: () => boolean,
): { starts: Starts; handOver: HandOver; pacer: Pacer } {
  const starts = new Starts();
  const pacer = new Pacer({} as Database, {} as Reservations, readSettings({}));
  // Nothing but start is asked of it, and Temporal's own cannot be made to take a known time; no endpoint has a limit.
  const handOver = new HandOver(starts as unknown as DeliveryStarter, pacer, pino({ level: 'silent' }));
  handOver.leaveRoomWhile(freshAreExpected);
  for (const delayMs of delaysMs) handOver.offer(delivery(), ATTEMPT, delayMs);
  return { starts, handOver, pacer };
}

const times = (count: number, delayMs: number) => Array<number>(count).fill(delayMs);

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
  it('is started two at a time, whenever it is due, while nobody else is expected', async () => {
    const { starts, handOver } = handOverOf(times(5, HOUR_MS), () => false);
    expect(handOver.waiting).toBe(3);
    await ended(starts, 5);
    expect([starts.most, handOver.waiting]).toEqual([2, 0]);
  });

  it('goes on at once after each start while nobody else is expected', async () => {
    const { starts } = handOverOf(times(3, HOUR_MS), () => false);
    await ended(starts, 1);
    await turn();
    expect(starts.beganAtMs).toHaveLength(3);
    await ended(starts, 3);
  });

  it('leaves eight times what a start took to fresh deliveries while they are expected', async () => {
    const { starts } = handOverOf(times(3, 0), () => true);
    await ended(starts, 3);
    const [firstEnd = NaN] = starts.endedAtMs;
    expect((starts.beganAtMs[2] ?? NaN) - firstEnd).toBeGreaterThanOrEqual(8 * (START_TAKES_MS - 2));
  });

  it('rests no more once it is late', async () => {
    const { starts } = handOverOf(times(3, -10_000), () => true);
    await ended(starts, 1);
    await turn();
    expect(starts.beganAtMs).toHaveLength(3);
    await ended(starts, 3);
  });

  it('waits for its time while fresh deliveries are expected, and has no time left to wait then', async () => {
    const { starts } = handOverOf([400, 200], () => true);
    const offeredAtMs = performance.now();
    await ended(starts, 2);
    expect((starts.beganAtMs[0] ?? NaN) - offeredAtMs).toBeGreaterThanOrEqual(190);
    expect((starts.beganAtMs[1] ?? NaN) - offeredAtMs).toBeGreaterThanOrEqual(390);
    expect(starts.from.map((from) => from?.dueInMs)).toEqual([0, 0]);
  });

  it('is started early, the one with the longest wait first, a few a second', async () => {
    const { starts, handOver } = handOverOf([], () => true);
    for (const delayMs of [HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS]) handOver.offer(delivery(), ATTEMPT, delayMs);
    await ended(starts, 3);
    // The first came alone; of the other two, the one that is due last was next.
    const hours = starts.from.map((from) => Math.round((from?.dueInMs ?? NaN) / HOUR_MS));
    expect(hours).toEqual([1, 3, 2]);
    expect((starts.beganAtMs[2] ?? NaN) - (starts.beganAtMs[0] ?? NaN)).toBeGreaterThanOrEqual(490);
  });

  it('says that a receiver is slow, whose attempt must keep no workflow task open', async () => {
    const { starts, handOver, pacer } = handOverOf([], () => false);
    const slow = delivery();
    jest.spyOn(pacer, 'isSlow').mockImplementation(({ endpointId }) => endpointId === slow.endpointId);
    handOver.offer(slow, ATTEMPT, 0);
    handOver.offer(delivery(), ATTEMPT, 0);
    await ended(starts, 2);
    expect(starts.slow).toEqual([true, false]);
  });

  it('goes on after a start that failed', async () => {
    const { starts, handOver } = handOverOf([], () => false);
    starts.failure = new Error('refused');
    for (let index = 0; index < 4; index += 1) handOver.offer(delivery(), ATTEMPT, 0);
    await ended(starts, 4);
    expect(handOver.waiting).toBe(0);
  });

  it('ends with what is under way, and leaves the rest to the reconciler', async () => {
    const { starts, handOver } = handOverOf(times(5, 0), () => true);
    await handOver.close();
    handOver.offer(delivery(), ATTEMPT, 0);
    expect([starts.beganAtMs.length, starts.endedAtMs.length, handOver.waiting]).toEqual([2, 2, 0]);
  });
});
