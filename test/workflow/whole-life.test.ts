import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { JITTER, SCHEDULES } from '../../workflows/schedule.js';
import {
  answers,
  answersUntil,
  refusedByEgress,
  type SeenAttempt,
  times,
  unreachable,
} from './scripted-receiver.js';
import { TimeSkipping } from './time-skipping.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
/** What a workflow task or two may take between a timer and the attempt it was for. */
const SLACK = 30 * SECOND;

let world: TimeSkipping;
beforeAll(async () => {
  world = await TimeSkipping.start();
});
afterAll(() => world.close());

const gaps = (seen: readonly SeenAttempt[]) =>
  seen.slice(1).map(({ atMs }, index) => atMs - (seen[index]?.atMs ?? Number.NaN));

function expectWithinJitter(gapMs: number | undefined, plannedMs: number): void {
  expect(gapMs).toBeGreaterThanOrEqual(plannedMs * (1 - JITTER));
  expect(gapMs).toBeLessThanOrEqual(plannedMs * (1 + JITTER) + SLACK);
}

describe('a receiver that never recovers', () => {
  test('gets 10 attempts over 75 h 35 min, then the delivery ends as Failed: exhausted', async () => {
    const delivery = await world.runner.deliver(times(10, answers(503)));
    await expect(delivery.result()).rejects.toMatchObject({
      cause: {
        type: 'exhausted',
        message: 'given up after 10 attempts (exhausted); the last answer was 503',
      },
    });
    const { seen } = delivery.receiver;
    expect(seen.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(gaps(seen)).toHaveLength(SCHEDULES.default.length);
    gaps(seen).forEach((gapMs, index) => {
      expectWithinJitter(gapMs, (SCHEDULES.default[index] ?? Number.NaN) * SECOND);
    });
    expectWithinJitter((seen[9]?.atMs ?? 0) - (seen[0]?.atMs ?? 0), 75 * HOUR + 35 * MINUTE);
    expect((await delivery.handle.describe()).status.name).toBe('FAILED');
  });

  test('gets the same when no worker remembers the delivery between two attempts', async () => {
    const forgetful = await TimeSkipping.start(0);
    try {
      const delivery = await forgetful.runner.deliver(times(10, unreachable()));
      await expect(delivery.result()).rejects.toMatchObject({
        cause: {
          type: 'exhausted',
          message: 'given up after 10 attempts (exhausted); the last answer was connect_refused',
        },
      });
      expect(delivery.receiver.seen.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    } finally {
      await forgetful.close();
    }
  });

  test("gets as many attempts as the endpoint's own schedule says", async () => {
    const delivery = await world.runner.deliver(times(4, answers(500)), { schedule: [10, 20, 40] });
    await expect(delivery.result()).rejects.toMatchObject({ cause: { type: 'exhausted' } });
    expect(delivery.receiver.seen).toHaveLength(4);
  });

  test('is jittered anew for each delivery', async () => {
    const first = await world.runner.deliver(times(10, answers(503)));
    await expect(first.result()).rejects.toThrow();
    const second = await world.runner.deliver(times(10, answers(503)));
    await expect(second.result()).rejects.toThrow();
    const rounded = (seen: readonly SeenAttempt[]) => gaps(seen).map((gapMs) => Math.round(gapMs / MINUTE));
    expect(rounded(first.receiver.seen)).not.toEqual(rounded(second.receiver.seen));
  });
});

describe('a receiver that is well', () => {
  test('gets one attempt, made where the workflow runs, and nothing else is kept', async () => {
    const delivery = await world.runner.deliver([answers(204)]);
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 1 });
    expect(delivery.receiver.seen).toMatchObject([{ number: 1, trigger: 'schedule', local: true }]);
    const history = await delivery.history();
    expect(history.some((event) => event.activityTaskScheduledEventAttributes)).toBe(false);
    expect(history.some((event) => event.timerStartedEventAttributes)).toBe(false);
    expect(await delivery.states()).toEqual([]);
    expect((await delivery.handle.describe()).status.name).toBe('COMPLETED');
  });

  test('ends the delivery as soon as it answers, whatever it did before', async () => {
    const delivery = await world.runner.deliver([answers(500), unreachable(), answers(429), answers(200)]);
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 4 });
    expect(delivery.receiver.seen.map(({ local }) => local)).toEqual([true, false, false, false]);
  });
});

describe('a receiver that asks to be left alone', () => {
  test.each([429, 503])('for two hours in seconds (%d) is left alone for two hours', async (status) => {
    const delivery = await world.runner.deliver([answers(status, { 'retry-after': '7200' }), answers(200)]);
    await delivery.result();
    const [gapMs] = gaps(delivery.receiver.seen);
    expect(gapMs).toBeGreaterThanOrEqual(2 * HOUR);
    expect(gapMs).toBeLessThanOrEqual(2 * HOUR + SLACK);
  });

  test('until a date is left alone until then', async () => {
    const delivery = await world.runner.deliver([answersUntil(503, 3 * HOUR), answers(200)]);
    await delivery.result();
    const [gapMs] = gaps(delivery.receiver.seen);
    // An HTTP date has no milliseconds.
    expect(gapMs).toBeGreaterThanOrEqual(3 * HOUR - SECOND);
    expect(gapMs).toBeLessThanOrEqual(3 * HOUR + SLACK);
  });

  test('for a year is left alone for a day', async () => {
    const delivery = await world.runner.deliver([answers(429, { 'retry-after': '31536000' }), answers(200)]);
    await delivery.result();
    const [gapMs] = gaps(delivery.receiver.seen);
    expect(gapMs).toBeGreaterThanOrEqual(24 * HOUR);
    expect(gapMs).toBeLessThanOrEqual(24 * HOUR + SLACK);
  });

  test('for less than the backoff is left alone for the backoff', async () => {
    const delivery = await world.runner.deliver([answers(429, { 'retry-after': '1' }), answers(200)], {
      schedule: [600],
    });
    await delivery.result();
    expectWithinJitter(gaps(delivery.receiver.seen)[0], 10 * MINUTE);
  });
});

describe('a receiver that says no', () => {
  test('with 410 gets no more attempts: gone', async () => {
    const delivery = await world.runner.deliver([answers(410)]);
    await expect(delivery.result()).rejects.toMatchObject({
      cause: { type: 'gone', message: 'given up after 1 attempts (gone); the last answer was 410' },
    });
    expect(delivery.receiver.seen).toHaveLength(1);
  });

  test('by asking to be disabled gets no more attempts: gone', async () => {
    const delivery = await world.runner.deliver([
      answers(503),
      answers(500, { 'webhook-delivery': 'disable' }),
    ]);
    await expect(delivery.result()).rejects.toMatchObject({ cause: { type: 'gone' } });
    expect(delivery.receiver.seen).toHaveLength(2);
  });

  test('to this event alone gets it no more: aborted', async () => {
    const delivery = await world.runner.deliver([answers(400, { 'webhook-delivery': 'abort-message' })]);
    await expect(delivery.result()).rejects.toMatchObject({ cause: { type: 'aborted' } });
    expect(delivery.receiver.seen).toHaveLength(1);
  });

  test('by lying where the egress rules forbid is not asked again: blocked', async () => {
    const delivery = await world.runner.deliver([refusedByEgress()]);
    await expect(delivery.result()).rejects.toMatchObject({ cause: { type: 'blocked' } });
    expect(delivery.receiver.seen).toHaveLength(1);
  });

  test.each([302, 404])('with %d gets three attempts within an hour: permanent', async (status) => {
    const delivery = await world.runner.deliver(times(3, answers(status)), { schedule: SCHEDULES.patient });
    await expect(delivery.result()).rejects.toMatchObject({ cause: { type: 'permanent' } });
    const { seen } = delivery.receiver;
    expect(seen).toHaveLength(3);
    expect((seen[2]?.atMs ?? 0) - (seen[0]?.atMs ?? 0)).toBeLessThanOrEqual(HOUR);
  });

  test('with 4xx gets its three attempts within an hour on a schedule of days', async () => {
    const delivery = await world.runner.deliver(times(3, answers(404)), {
      schedule: [86_400, 86_400, 86_400],
    });
    await expect(delivery.result()).rejects.toMatchObject({ cause: { type: 'permanent' } });
    const { seen } = delivery.receiver;
    expect(seen).toHaveLength(3);
    expect((seen[2]?.atMs ?? 0) - (seen[0]?.atMs ?? 0)).toBeLessThanOrEqual(HOUR + SLACK);
  });

  test('for the length of a deploy has the event delivered after it', async () => {
    const delivery = await world.runner.deliver([answers(404), unreachable(), answers(401), answers(200)]);
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 4 });
  });
});

describe('the first attempt', () => {
  test.each([
    ['is made in the workflow task that began it', {}, true],
    ['keeps no workflow task open where the receiver is likely to take long', { slow: true }, false],
  ])('%s', async (_, options, local) => {
    const delivery = await world.runner.deliver([answers(200)], options);
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 1 });
    expect(delivery.receiver.seen).toMatchObject([{ number: 1, local }]);
  });
});
