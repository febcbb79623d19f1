import type { Delivery, DeliveryRunner } from '../workflow/delivery-runner.js';
import {
  answers,
  breaks,
  failsTimes,
  times,
  unreachable,
  unrecorded,
} from '../workflow/scripted-receiver.js';

/** Seconds: long enough to be a timer, short enough to be lived through where time is not skipped. */
const SOON = 0.05;
const AN_HOUR = 3_600;

/** The lives of deliveries whose histories are kept, by the name of the file. Each ends closed. */
export const SCENARIOS: Record<string, (runner: DeliveryRunner) => Promise<Delivery>> = {
  'delivered-at-once': (runner) => runner.deliver([answers(200)]),

  'delivered-to-a-slow-receiver': (runner) => runner.deliver([answers(200)], { slow: true }),

  'failed-twice-then-delivered': (runner) =>
    runner.deliver([answers(503), unreachable(), answers(200)], { schedule: [SOON, SOON] }),

  exhausted: (runner) => runner.deliver(times(10, answers(503)), { schedule: Array<number>(9).fill(SOON) }),

  gone: (runner) => runner.deliver([answers(500), answers(410)], { schedule: [SOON] }),

  'cancelled-in-backoff': async (runner) => {
    const delivery = await runner.deliver([answers(503)], { schedule: [AN_HOUR] });
    await delivery.sleeps();
    await delivery.cancel('cancelled_by_request');
    return delivery;
  },

  'cancelled-in-temporal': async (runner) => {
    const delivery = await runner.deliver([answers(503)], { schedule: [AN_HOUR] });
    await delivery.sleeps();
    await delivery.handle.cancel();
    return delivery;
  },

  'held-and-released': async (runner) => {
    const delivery = await runner.deliver([answers(503), answers(200)], { schedule: [1] });
    await delivery.sleeps();
    await delivery.hold();
    await delivery.becomes('held');
    await delivery.release();
    return delivery;
  },

  'retried-by-hand': async (runner) => {
    const delivery = await runner.deliver([answers(503), answers(503), answers(200)], {
      schedule: [AN_HOUR, SOON],
    });
    await delivery.sleeps();
    await delivery.retryNow();
    return delivery;
  },

  'taken-over-from-the-record': (runner) =>
    runner.deliver([answers(503), answers(200)], {
      schedule: [SOON, SOON],
      from: {
        attempts: [
          {
            number: 1,
            trigger: 'schedule',
            startedAtMs: Date.UTC(2026, 0, 1),
            durationMs: 12,
            outcome: 'transient',
            statusCode: 503,
          },
        ],
        budgetStart: 0,
        dueInMs: 100,
        trigger: 'schedule',
      },
    }),

  'moved-to-the-task-queue': (runner) => runner.deliver([...times(3, breaks()), answers(200)]),

  'recorded-later': (runner) =>
    runner.deliver([unrecorded(answers(503)), answers(200)], { schedule: [SOON], write: failsTimes(1) }),
};
