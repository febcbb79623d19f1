import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { AttemptSummary } from '../../workflows/contracts.js';
import { answers, times } from './scripted-receiver.js';
import { TimeSkipping } from './time-skipping.js';

const MINUTE = 60 * 1_000;
const HOUR = 60 * MINUTE;

let world: TimeSkipping;
beforeAll(async () => {
  world = await TimeSkipping.start();
});
afterAll(() => world.close());

const attempt = (number: number, startedAtMs: number, statusCode = 503): AttemptSummary => ({
  number,
  trigger: 'schedule',
  startedAtMs,
  durationMs: 12,
  outcome: statusCode === 503 ? 'transient' : 'permanent',
  statusCode,
});

describe('a delivery that was given up and is retried', () => {
  test('goes on under its id with its earlier attempts, its numbering and a fresh budget', async () => {
    const first = await world.runner.deliver(times(3, answers(503)), { schedule: [5, 5] });
    await expect(first.result()).rejects.toMatchObject({ cause: { type: 'exhausted' } });
    const { attempts } = await first.log();

    const second = await world.runner.deliver(times(3, answers(503)), {
      after: first,
      schedule: [5, 5],
      from: { attempts, budgetStart: 3, dueInMs: 0, trigger: 'manual' },
    });
    expect(second.handle.workflowId).toBe(first.handle.workflowId);
    expect(second.runId).not.toBe(first.runId);
    await second.sleeps();
    expect(await second.currentDetails()).toContain('4 of 6 attempts made.');
    await expect(second.result()).rejects.toMatchObject({
      cause: { type: 'exhausted', message: expect.stringContaining('after 6 attempts') as unknown },
    });
    expect(second.receiver.seen).toMatchObject([
      { number: 4, trigger: 'manual', local: true },
      { number: 5, trigger: 'schedule', local: false },
      { number: 6, trigger: 'schedule', local: false },
    ]);
    expect((await second.log()).attempts.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('has a fresh short budget too', async () => {
    const nowMs = await world.now();
    const attempts = [1, 2, 3].map((number) => attempt(number, nowMs, 404));
    const delivery = await world.runner.deliver(times(3, answers(404)), {
      from: { attempts, budgetStart: 3, dueInMs: 0, trigger: 'manual' },
    });
    await expect(delivery.result()).rejects.toMatchObject({ cause: { type: 'permanent' } });
    expect(delivery.receiver.seen.map(({ number }) => number)).toEqual([4, 5, 6]);
  });

  test('is delivered when its receiver is well again', async () => {
    const nowMs = await world.now();
    const delivery = await world.runner.deliver([answers(200)], {
      from: { attempts: [attempt(1, nowMs)], budgetStart: 1, dueInMs: 0, trigger: 'manual' },
    });
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 2 });
  });

  test('carries only the latest of many attempts and still counts them all', async () => {
    const nowMs = await world.now();
    const attempts = [149, 150].map((number) => attempt(number, nowMs));
    const delivery = await world.runner.deliver([answers(200)], {
      from: { attempts, budgetStart: 150, dueInMs: 0, trigger: 'replay' },
    });
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 151 });
    expect(delivery.receiver.seen).toMatchObject([{ number: 151, trigger: 'replay' }]);
  });
});

describe('a delivery that is taken over from the record', () => {
  test('waits for what is left of its backoff', async () => {
    const nowMs = await world.now();
    const delivery = await world.runner.deliver([answers(200)], {
      from: { attempts: [attempt(1, nowMs)], budgetStart: 0, dueInMs: 2 * HOUR, trigger: 'schedule' },
    });
    await delivery.sleeps();
    expect(await delivery.log()).toMatchObject({ state: 'waiting', attempts: [{ number: 1 }] });
    expect(await delivery.states()).toEqual(['retrying']);
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 2 });
    expect(delivery.receiver.seen).toMatchObject([{ number: 2, trigger: 'schedule', local: false }]);
    expect(delivery.receiver.seen[0]?.atMs).toBeGreaterThanOrEqual(nowMs + 2 * HOUR);
  });

  test('is attempted at once when its backoff is over', async () => {
    const nowMs = await world.now();
    const delivery = await world.runner.deliver([answers(200)], {
      from: { attempts: [attempt(1, nowMs)], budgetStart: 0, dueInMs: 0, trigger: 'schedule' },
    });
    await delivery.result();
    expect(delivery.receiver.seen).toMatchObject([{ number: 2, local: true }]);
    expect(delivery.receiver.seen[0]?.atMs).toBeLessThan(nowMs + MINUTE);
  });

  test('can be retried by hand in what is left of its backoff', async () => {
    const nowMs = await world.now();
    const delivery = await world.runner.deliver([answers(200)], {
      from: { attempts: [attempt(1, nowMs)], budgetStart: 0, dueInMs: 2 * HOUR, trigger: 'schedule' },
    });
    await delivery.sleeps();
    expect(await delivery.retryNow()).toEqual({ attempt: 2 });
    await delivery.result();
    expect(delivery.receiver.seen).toMatchObject([{ number: 2, trigger: 'manual' }]);
  });

  test('has spent what the record says it has', async () => {
    const nowMs = await world.now();
    const delivery = await world.runner.deliver(times(2, answers(503)), {
      schedule: [5, 5, 5],
      from: {
        attempts: [attempt(1, nowMs), attempt(2, nowMs)],
        budgetStart: 0,
        dueInMs: 0,
        trigger: 'schedule',
      },
    });
    await expect(delivery.result()).rejects.toMatchObject({ cause: { type: 'exhausted' } });
    expect(delivery.receiver.seen.map(({ number }) => number)).toEqual([3, 4]);
  });

  test('has spent of its short budget what the record says it has', async () => {
    const nowMs = await world.now();
    const delivery = await world.runner.deliver([answers(404)], {
      from: {
        attempts: [attempt(1, nowMs, 404), attempt(2, nowMs, 404)],
        budgetStart: 0,
        dueInMs: 0,
        trigger: 'schedule',
      },
    });
    await expect(delivery.result()).rejects.toMatchObject({ cause: { type: 'permanent' } });
    expect(delivery.receiver.seen).toHaveLength(1);
  });
});
