import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { answers, behind, Gate, paused } from './scripted-receiver.js';
import { TimeSkipping } from './time-skipping.js';

const HOUR = 60 * 60 * 1_000;
const DAY = 24 * HOUR;

let world: TimeSkipping;
beforeAll(async () => {
  world = await TimeSkipping.start();
});
afterAll(() => world.close());

describe('a delivery to an endpoint that is paused', () => {
  test('in a backoff is held for days, and attempted when the endpoint is resumed', async () => {
    const delivery = await world.runner.deliver([answers(503), answers(200)]);
    await delivery.sleeps();
    await delivery.hold();
    await delivery.becomes('held');
    await world.pass(5 * DAY);
    expect(delivery.receiver.seen).toHaveLength(1);
    expect(await delivery.log()).toMatchObject({ state: 'held' });
    await delivery.release();
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 2 });
    const { seen } = delivery.receiver;
    expect((seen[1]?.atMs ?? 0) - (seen[0]?.atMs ?? 0)).toBeGreaterThanOrEqual(5 * DAY);
  });

  test('for less than its backoff waits for the rest of it', async () => {
    const delivery = await world.runner.deliver([answers(503), answers(200)], { schedule: [36_000] });
    await delivery.sleeps();
    const before = await delivery.log();
    await delivery.hold();
    await delivery.becomes('held');
    await delivery.release();
    await delivery.sleeps(2);
    expect(await delivery.log()).toEqual(before);
    await delivery.result();
    expect(delivery.receiver.seen[1]?.atMs).toBeGreaterThanOrEqual(before.nextAttemptAtMs ?? Number.NaN);
  });

  test('before its first attempt is held until the endpoint is resumed', async () => {
    const delivery = await world.runner.deliver([paused(), answers(200)]);
    await delivery.becomes('held');
    await world.pass(3 * DAY);
    expect(await delivery.log()).toEqual({ state: 'held', attempts: [], nextAttemptAtMs: null });
    await delivery.release();
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 1 });
    expect(delivery.receiver.seen.map(({ number }) => number)).toEqual([1, 1]);
  });

  test('during an attempt is held after it', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver([answers(503), behind(gate, answers(503)), answers(200)]);
    await delivery.sleeps();
    await delivery.retryNow();
    await gate.reached;
    await delivery.hold();
    gate.open();
    await delivery.becomes('held');
    await world.pass(DAY);
    expect(delivery.receiver.seen).toHaveLength(2);
    await delivery.release();
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 3 });
  });

  test('and resumed while the attempt was still reading "paused" goes on', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver([answers(503), behind(gate, paused()), answers(200)]);
    await delivery.sleeps();
    await delivery.retryNow();
    await gate.reached;
    await delivery.release();
    gate.open();
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 2 });
  });

  test('and paused again after that stays held', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver([answers(503), behind(gate, paused()), answers(200)]);
    await delivery.sleeps();
    await delivery.retryNow();
    await gate.reached;
    await delivery.release();
    await delivery.hold();
    gate.open();
    await delivery.becomes('held');
    await world.pass(DAY);
    expect(delivery.receiver.seen).toHaveLength(2);
    await delivery.release();
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 2 });
  });

  test('and resumed and paused many times loses nothing', async () => {
    const delivery = await world.runner.deliver([answers(503), answers(200)], { schedule: [36_000] });
    await delivery.sleeps();
    for (let round = 1; round <= 3; round += 1) {
      await delivery.hold();
      await delivery.becomes('held', round);
      await delivery.release();
      await delivery.sleeps(round + 1);
    }
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 2 });
  });

  test('keeps the trigger of a retry that was asked for', async () => {
    const delivery = await world.runner.deliver([answers(503), paused(), answers(200)]);
    await delivery.sleeps();
    await delivery.retryNow();
    await delivery.becomes('held');
    await delivery.release();
    await delivery.result();
    expect((await delivery.log()).attempts.map(({ trigger }) => trigger)).toEqual(['schedule', 'manual']);
  });

  test('is shown as retrying again once it is resumed', async () => {
    const delivery = await world.runner.deliver([answers(503), answers(200)], { schedule: [36_000] });
    await delivery.sleeps();
    await delivery.hold();
    await delivery.becomes('held');
    await delivery.release();
    await delivery.sleeps(2);
    expect(await delivery.states()).toEqual(['retrying', 'held', 'retrying']);
    await delivery.result();
  });
});
