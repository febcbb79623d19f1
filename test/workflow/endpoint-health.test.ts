import { WorkflowNotFoundError } from '@temporalio/client';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  type HealthPolicy,
  type HealthRecord,
  reviewHealth,
} from '../../src/endpoint-health/health-machine.js';
import { lookSignal } from '../../workflows/contracts.js';
import { TimeSkipping } from './time-skipping.js';
import { WatchRunner } from './watch-runner.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** What a workflow task or two may take after a timer. */
const SLACK = 30 * SECOND;

const POLICY: HealthPolicy = {
  failingAfterMs: HOUR,
  disableAfterMs: 5 * DAY,
  probeEveryMs: MINUTE,
  circuitAfterMs: MINUTE,
  circuitFailures: 50,
  circuitDeliveries: 10,
};

let world: TimeSkipping;
let watches: WatchRunner;

/** What an endpoint does, and when the workflow acted on it: milliseconds since it began to fail. */
class Watched {
  readonly acts: { atMs: number; act: string }[] = [];
  record: HealthRecord;

  constructor(
    private readonly beganAtMs: number,
    record: Partial<HealthRecord> = {},
  ) {
    this.record = {
      state: 'healthy',
      stateSinceMs: beganAtMs,
      failingSinceMs: beganAtMs,
      consecutiveFailures: 1,
      failedDeliveries: 1,
      exhausted: 0,
      announced: null,
      toldAtMs: {},
      probedAtMs: null,
      ...record,
    };
  }

  review(nowMs: number): number | null {
    const review = reviewHealth(this.record, { attempts: 0, delivered: 0, spanMs: 0 }, POLICY, nowMs);
    this.record = review.record;
    const acts = [...review.notices.map(({ kind }) => kind), ...(review.probe ? ['probe'] : [])];
    this.acts.push(...acts.map((act) => ({ atMs: nowMs - this.beganAtMs, act })));
    return review.againInMs;
  }

  times(act: string): number[] {
    return this.acts.filter((each) => each.act === act).map(({ atMs }) => atMs);
  }
}

const watched = new Map<string, Watched>();
const sent: { accountId: string; atMs: number }[] = [];

beforeEach(async () => {
  world = await TimeSkipping.start();
  watches = await WatchRunner.start(world.engine, {
    reviewEndpoint: async ({ endpointId }) => watched.get(endpointId)?.review(await world.now()) ?? null,
    sendNotifications: async ({ accountId }) => {
      sent.push({ accountId, atMs: await world.now() });
    },
  });
});
afterEach(async () => {
  await watches.stop();
  await world.close();
});

const look = (endpointId: string) => watches.look('health', endpointId);

const expectAt = (actual: number | undefined, wantedMs: number) => {
  expect(actual).toBeGreaterThanOrEqual(wantedMs);
  expect(actual).toBeLessThan(wantedMs + SLACK);
};

describe('the watch over an endpoint in trouble', () => {
  test('tells its owner after an hour, disables it after five days, and ends', async () => {
    const endpoint = new Watched(await world.now());
    watched.set('ep_dead', endpoint);
    const handle = await look('ep_dead');
    await handle.result();
    expect(endpoint.acts.map(({ act }) => act)).toEqual(['failing', 'disabled']);
    expectAt(endpoint.times('failing')[0], HOUR);
    expectAt(endpoint.times('disabled')[0], 5 * DAY);
  });

  test('ends at its next look when the endpoint is well again', async () => {
    const endpoint = new Watched(await world.now());
    watched.set('ep_well', endpoint);
    const handle = await look('ep_well');
    endpoint.record = { ...endpoint.record, failingSinceMs: null };
    await handle.result();
    expect(endpoint.acts).toEqual([]);
    await expect(handle.signal(lookSignal)).rejects.toThrow(WorkflowNotFoundError);
  });

  test('looks at once when it is told to, and then lets one attempt a minute through', async () => {
    const endpoint = new Watched(await world.now());
    watched.set('ep_open', endpoint);
    const handle = await look('ep_open');
    await world.pass(10 * MINUTE);
    endpoint.record = { ...endpoint.record, consecutiveFailures: 50, failedDeliveries: 10 };
    await look('ep_open');
    await world.pass(10 * MINUTE);
    const [openedAtMs] = endpoint.times('circuit_open');
    expectAt(openedAtMs, 10 * MINUTE);
    const probes = endpoint.times('probe');
    expect(probes.length).toBeGreaterThanOrEqual(8);
    probes.forEach((atMs, index) => {
      expect(atMs - (probes[index - 1] ?? openedAtMs ?? 0)).toBeGreaterThanOrEqual(MINUTE);
    });
    endpoint.record = { ...endpoint.record, failingSinceMs: null };
    await look('ep_open');
    await handle.result();
    expect(endpoint.acts.at(-1)?.act).toBe('recovered');
  });
});

describe('what an account is told', () => {
  test('goes out at once, and what comes up within a minute in one message after it', async () => {
    const tell = () => watches.tell('acc_told');
    const handle = await tell();
    await world.pass(10 * SECOND);
    for (let count = 0; count < 50; count += 1) await tell();
    await handle.result();
    expect(sent).toHaveLength(2);
    expect((sent[1]?.atMs ?? 0) - (sent[0]?.atMs ?? 0)).toBeGreaterThanOrEqual(MINUTE - SECOND);
  });
});
