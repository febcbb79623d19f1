import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { WorkflowNotFoundError } from '@temporalio/client';
import { answers, behind, Gate, unrecorded } from './scripted-receiver.js';
import { TimeSkipping } from './time-skipping.js';

const HOUR = 60 * 60 * 1_000;

let world: TimeSkipping;
beforeAll(async () => {
  world = await TimeSkipping.start();
});
afterAll(() => world.close());

describe('a retry by hand', () => {
  test('cuts a backoff of ten hours short', async () => {
    const delivery = await world.runner.deliver([answers(503), answers(200)], { schedule: [36_000] });
    await delivery.sleeps();
    expect(await delivery.retryNow()).toEqual({ attempt: 2 });
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 2 });
    const { seen } = delivery.receiver;
    expect(seen).toMatchObject([
      { number: 1, trigger: 'schedule' },
      { number: 2, trigger: 'manual' },
    ]);
    expect((seen[1]?.atMs ?? 0) - (seen[0]?.atMs ?? 0)).toBeLessThan(HOUR);
  });

  test('that fails too leaves the schedule as it was: the attempt counts, the next one is automatic', async () => {
    const delivery = await world.runner.deliver([answers(503), answers(503), answers(503)], {
      schedule: [36_000, 36_000],
    });
    await delivery.sleeps();
    await delivery.retryNow();
    await expect(delivery.result()).rejects.toMatchObject({ cause: { type: 'exhausted' } });
    expect(delivery.receiver.seen.map(({ trigger }) => trigger)).toEqual(['schedule', 'manual', 'schedule']);
  });

  test('is one attempt, however often it is asked for in the same backoff', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver([answers(503), behind(gate, answers(200))]);
    await delivery.sleeps();
    const asked = await Promise.allSettled([delivery.retryNow(), delivery.retryNow(), delivery.retryNow()]);
    await gate.reached;
    gate.open();
    await delivery.result();
    expect(asked.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThanOrEqual(1);
    expect(delivery.receiver.seen).toHaveLength(2);
  });

  test('is refused while an attempt is under way', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver([answers(503), behind(gate, answers(200))], {
      schedule: [36_000],
    });
    await delivery.sleeps();
    await delivery.retryNow();
    await gate.reached;
    await expect(delivery.retryNow()).rejects.toMatchObject({ cause: { type: 'attempt_in_progress' } });
    gate.open();
    await delivery.result();
    expect(delivery.receiver.seen).toHaveLength(2);
  });

  test('is not refused for an attempt that is recorded, though its result is still on its way', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver([answers(503), behind(gate, answers(503)), answers(200)], {
      schedule: [36_000, 36_000],
    });
    await delivery.sleeps();
    await delivery.retryNow();
    await gate.reached;
    await expect(delivery.retryNow(1)).rejects.toMatchObject({ cause: { type: 'attempt_in_progress' } });
    expect(await delivery.retryNow(2)).toEqual({ attempt: 3 });
    gate.open();
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 3 });
    expect(delivery.receiver.seen.map(({ trigger }) => trigger)).toEqual(['schedule', 'manual', 'manual']);
  });

  test('that was asked for when more was recorded than the workflow knows is for what comes after that', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver([behind(gate, answers(503)), answers(503), answers(200)], {
      schedule: [36_000, 36_000],
    });
    await gate.reached;
    expect(await delivery.retryNow(2)).toEqual({ attempt: 3 });
    gate.open();
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 3 });
    const { seen } = delivery.receiver;
    expect((seen[2]?.atMs ?? 0) - (seen[0]?.atMs ?? 0)).toBeLessThan(HOUR);
  });

  test('is refused while the endpoint is paused', async () => {
    const delivery = await world.runner.deliver([answers(503), answers(200)]);
    await delivery.sleeps();
    await delivery.hold();
    await expect(delivery.retryNow()).rejects.toMatchObject({ cause: { type: 'delivery_held' } });
    await delivery.release();
    await delivery.result();
    expect(delivery.receiver.seen.map(({ trigger }) => trigger)).toEqual(['schedule', 'schedule']);
  });

  test('is refused once the last attempt is made, though its record is still to be written', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver([unrecorded(answers(200))], { write: gate.pass });
    await gate.reached;
    await expect(delivery.retryNow()).rejects.toMatchObject({ cause: { type: 'delivery_ended' } });
    gate.open();
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 1 });
  });

  test('is refused once the delivery is to be cancelled', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver([answers(503)], { write: gate.pass });
    await delivery.sleeps();
    await delivery.cancel('cancelled_by_request');
    await gate.reached;
    await expect(delivery.retryNow()).rejects.toMatchObject({ cause: { type: 'delivery_ended' } });
    gate.open();
    await expect(delivery.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
  });

  test('finds no workflow after the end', async () => {
    const delivery = await world.runner.deliver([answers(200)]);
    await delivery.result();
    await expect(delivery.retryNow()).rejects.toBeInstanceOf(WorkflowNotFoundError);
  });
});
