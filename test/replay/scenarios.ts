import type { WorkflowHandle } from '@temporalio/client';
import type { Delivery, DeliveryRunner } from '../workflow/delivery-runner.js';
import { lookSignal } from '../../workflows/contracts.js';
import {
  answers,
  breaks,
  failsTimes,
  times,
  transformFails,
  unreachable,
  unrecorded,
} from '../workflow/scripted-receiver.js';

import type { WatchRunner } from '../workflow/watch-runner.js';

/** Seconds: long enough to be a timer, short enough to be lived through where time is not skipped. */
const SOON = 0.05;
const AN_HOUR = 3_600;

/** The lives of deliveries whose histories are kept, by the name of the file. Each ends closed. */
export const SCENARIOS: Record<string, (runner: DeliveryRunner) => Promise<Delivery>> = {
  'delivered-at-once': (runner) => runner.deliver([answers(200)]),

  'delivered-to-a-slow-receiver': (runner) => runner.deliver([answers(200)], { slow: true }),

  'failed-twice-then-delivered': (runner) =>
    runner.deliver([answers(503), unreachable(), answers(200)], { schedule: [SOON, SOON] }),

  'mended-after-its-transformation-failed': (runner) =>
    runner.deliver([transformFails(), transformFails(), answers(200)], { schedule: [SOON, SOON] }),

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

interface WatchScenario {
  live: (runner: WatchRunner) => Promise<WorkflowHandle>;
  /** What each look answers: milliseconds until the next one; none after the last. */
  looks: number[];
}

const watched = (kind: Parameters<WatchRunner['look']>[0], looks: number[]): WatchScenario => ({
  live: (runner) => runner.look(kind, `ep_${kind}`),
  looks,
});

/** The lives of the workflows beside those of deliveries. */
export const WATCH_SCENARIOS: Record<string, WatchScenario> = {
  'watched-until-it-was-well': watched('health', [50, 50]),

  'looked-at-when-told': {
    live: async (runner) => {
      await runner.look('health', 'ep_told');
      return runner.look('health', 'ep_told');
    },
    looks: [1_000 * AN_HOUR, 50],
  },

  'verified-at-the-third-try': watched('verification', [50, 50]),

  'ended-its-credentials': watched('credentials', [50, 50]),

  'collected-until-its-time-was-over': {
    live: (runner) => runner.collect('ep_collecting', 'over', 50),
    looks: [50],
  },

  'collected-until-it-was-full': {
    live: async (runner) => {
      const handle = await runner.collect('ep_collecting', 'full', 1_000 * AN_HOUR);
      await handle.signal(lookSignal);
      return handle;
    },
    looks: [],
  },

  // A minute and more: what comes up meanwhile goes into the next message.
  'told-of-what-came-up': {
    live: async (runner) => {
      await runner.tell('acc_told');
      return runner.tell('acc_told');
    },
    looks: [],
  },
};
