import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { answers, behind, crowdedFor, Gate, noRoomFor } from './scripted-receiver.js';
import { TimeSkipping } from './time-skipping.js';

const HOUR = 60 * 60 * 1_000;

let world: TimeSkipping;
beforeAll(async () => {
  world = await TimeSkipping.start();
});
afterAll(() => world.close());

describe("a delivery that waits for its endpoint's pace", () => {
  test('comes back when it is told to, at the moment that was reserved for it, and at no cost to its schedule', async () => {
    const delivery = await world.runner.deliver([noRoomFor(HOUR, true), noRoomFor(HOUR), answers(200)]);
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 1 });
    const { seen } = delivery.receiver;
    expect(seen.map(({ number }) => number)).toEqual([1, 1, 1]);
    expect((seen[1]?.atMs ?? 0) - (seen[0]?.atMs ?? 0)).toBeGreaterThanOrEqual(HOUR);
    expect((seen[2]?.atMs ?? 0) - (seen[1]?.atMs ?? 0)).toBeGreaterThanOrEqual(HOUR);
    expect(seen.map(({ slotAtMs }) => slotAtMs !== undefined)).toEqual([false, true, false]);
  });

  test('says how often its host was crowded, whatever else it waits for, and begins anew with the next attempt', async () => {
    const delivery = await world.runner.deliver([
      crowdedFor(HOUR),
      noRoomFor(HOUR),
      crowdedFor(HOUR),
      answers(503),
      answers(200),
    ]);
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 2 });
    const { seen } = delivery.receiver;
    expect(seen.map(({ number }) => number)).toEqual([1, 1, 1, 1, 2]);
    expect(seen.map(({ crowdedOut }) => crowdedOut)).toEqual([undefined, 1, 1, 2, undefined]);
  });

  test('asks again when the pace is changed, and not for the moment that it had', async () => {
    const delivery = await world.runner.deliver([noRoomFor(HOUR, true), answers(200)]);
    await delivery.sleeps();
    await delivery.pace();
    await delivery.result();
    const { seen } = delivery.receiver;
    expect((seen[1]?.atMs ?? Infinity) - (seen[0]?.atMs ?? 0)).toBeLessThan(HOUR);
    expect(seen[1]?.slotAtMs).toBeUndefined();
  });

  test('asks again when the pace is changed while it was being deferred', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver([
      answers(503),
      behind(gate, noRoomFor(HOUR, true)),
      answers(200),
    ]);
    await delivery.sleeps();
    await delivery.retryNow();
    await gate.reached;
    await delivery.pace();
    gate.open();
    await delivery.result();
    const { seen } = delivery.receiver;
    expect((seen[2]?.atMs ?? Infinity) - (seen[1]?.atMs ?? 0)).toBeLessThan(HOUR);
    expect(seen[2]?.slotAtMs).toBeUndefined();
  });

  test.each(['before', 'during'])(
    'keeps to its own backoff when the pace is changed %s an attempt that is made',
    async (when) => {
      const gate = new Gate();
      const delivery = await world.runner.deliver([answers(503), behind(gate, answers(503)), answers(200)], {
        schedule: [3 * 3600, 3600],
      });
      await delivery.sleeps();
      if (when === 'before') await delivery.pace();
      await delivery.retryNow();
      await gate.reached;
      if (when === 'during') await delivery.pace();
      gate.open();
      await delivery.result();
      const { seen } = delivery.receiver;
      expect(seen).toHaveLength(3);
      // An hour, less its jitter.
      expect((seen[2]?.atMs ?? 0) - (seen[1]?.atMs ?? 0)).toBeGreaterThan(0.9 * HOUR - 1_000);
    },
  );
});
