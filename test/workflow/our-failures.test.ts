import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { JITTER } from '../../workflows/schedule.js';
import { answers, breaks, failsTimes, times, unrecorded } from './scripted-receiver.js';
import { TimeSkipping } from './time-skipping.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

let world: TimeSkipping;
beforeAll(async () => {
  world = await TimeSkipping.start();
});
afterAll(() => world.close());

describe('a failure of ours', () => {
  test('at the first attempt is tried three times on the spot, then waited out on the task queue', async () => {
    const delivery = await world.runner.deliver([...times(8, breaks()), answers(200)]);
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 1 });
    const { seen } = delivery.receiver;
    expect(seen.map(({ number }) => number)).toEqual(times(9, answers(200)).map(() => 1));
    expect(seen.map(({ local }) => local)).toEqual([true, true, true, ...Array<boolean>(6).fill(false)]);
  });

  test('at a later attempt uses none of them up, however long it lasts', async () => {
    const delivery = await world.runner.deliver(
      [answers(503), ...times(50, breaks()), answers(503), ...times(50, breaks()), answers(503)],
      { schedule: [5, 300] },
    );
    await expect(delivery.result()).rejects.toMatchObject({
      cause: { type: 'exhausted', message: expect.stringContaining('after 3 attempts') as unknown },
    });
    const { attempts } = await delivery.log();
    expect(attempts.map(({ number, outcome }) => [number, outcome])).toEqual([
      [1, 'transient'],
      [2, 'transient'],
      [3, 'transient'],
    ]);
  });

  test('leaves no trace in the log of attempts while it lasts', async () => {
    const delivery = await world.runner.deliver([answers(503), ...times(3, breaks()), answers(200)]);
    await delivery.result();
    expect((await delivery.log()).attempts).toMatchObject([
      { number: 1, statusCode: 503 },
      { number: 2, statusCode: 200 },
    ]);
  });
});

describe('an attempt that could not be recorded', () => {
  test('is recorded later, and made no second time', async () => {
    const delivery = await world.runner.deliver([unrecorded(answers(200))], { write: failsTimes(30) });
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 1 });
    expect(delivery.receiver.seen).toHaveLength(1);
    expect(delivery.receiver.recorded).toMatchObject([
      {
        deliveryId: delivery.ids.deliveryId,
        attempt: { number: 1, outcome: 'delivered', statusCode: 200 },
        decision: { kind: 'delivered' },
      },
    ]);
  });

  test('is recorded before the next one is made, and its backoff goes on meanwhile', async () => {
    const delivery = await world.runner.deliver([unrecorded(answers(503)), answers(200)], {
      schedule: [300],
      write: failsTimes(10),
    });
    await delivery.result();
    const { seen, recorded } = delivery.receiver;
    expect(recorded).toMatchObject([{ attempt: { number: 1 }, decision: { kind: 'retry' } }]);
    const gapMs = (seen[1]?.atMs ?? 0) - (seen[0]?.atMs ?? 0);
    expect(gapMs).toBeGreaterThanOrEqual(5 * MINUTE * (1 - JITTER));
    expect(gapMs).toBeLessThanOrEqual(5 * MINUTE * (1 + JITTER) + 10 * SECOND);
  });

  test('is recorded before the delivery is given up', async () => {
    const delivery = await world.runner.deliver([unrecorded(answers(410))], { write: failsTimes(3) });
    await expect(delivery.result()).rejects.toMatchObject({ cause: { type: 'gone' } });
    expect(delivery.receiver.recorded).toMatchObject([{ decision: { kind: 'failed', reason: 'gone' } }]);
  });
});
