import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { EndpointHealthShown } from '../../src/endpoint-health/endpoint-health.schema.js';
import { Gate } from '../support/gate.js';
import { everywhere } from '../support/everywhere.js';
import { Receiver } from '../support/receiver.js';
import { isCluster } from '../support/shape.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

const WORKERS = isCluster() ? 2 : 1;

describe('a plan counts for what is under way', () => {
  let system: System;
  let account: Account;
  let other: Account;
  let dead: Receiver;
  let count = 0;

  beforeAll(async () => {
    system = await System.start({
      env: { POSTHORN_RETRIES_PER_SECOND: '10000', POSTHORN_CIRCUIT_SECONDS: '0' },
    });
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    other = await system.account();
    dead = await Receiver.answering(500);
  });
  afterEach(() => dead.stop());

  const give = async (limits: Record<string, unknown>, to = account) => {
    const name = `plan-${(count += 1)}`;
    await system.ok('POST', '/plans', { name, limits });
    await system.ok('PATCH', to.path, { plan: name });
    await everywhere();
    return async (changed: Record<string, unknown>) => {
      await system.ok('PATCH', `/plans/${name}`, { limits: changed });
      await everywhere();
    };
  };
  const publishMany = (to: Account, events: number) =>
    system.ok('POST', `${to.path}/events/batch`, {
      events: Array.from({ length: events }, (_, n) => ({ type: 'a.b', data: { n } })),
    });
  const stateOf = async (of: Account, { id }: { id: string }) =>
    (await system.ok<EndpointHealthShown>('GET', `${of.path}/endpoints/${id}/health`)).state;

  it('bounds the attempts under way of an endpoint that says nothing about them', async () => {
    const gate = new Gate();
    const slow = await Receiver.start(gate.answer);
    const change = await give({ maxInFlight: 2 });
    await account.endpoint({ url: slow.url, eventTypes: ['a.b'] });
    await publishMany(account, 20);
    // Which workers get any is not said; each keeps to the bound.
    await until(
      () => gate.held,
      (held) => held >= 2,
    );
    // What was published after all others arrives elsewhere, so they have had their turn.
    const quick = await Receiver.start();
    await account.endpoint({ url: quick.url, eventTypes: ['other.one'] });
    await account.publish({ type: 'other.one' });
    await quick.got(1);
    await quick.stop();
    expect(gate.most).toBeLessThanOrEqual(2 * WORKERS);
    await change({ maxInFlight: 4 });
    gate.letOneGo();
    await until(
      () => gate.held,
      (held) => held >= 4,
    );
    gate.open();
    await until(
      () => account.deliveries('status=delivered'),
      (deliveries) => deliveries.length === 21,
    );
    expect(gate.most).toBeLessThanOrEqual(4 * WORKERS);
    await slow.stop();
  });

  it.each([
    ['attempts', { attempts: 2 }, [0.05, 0.05, 0.05]],
    ['length', { retrySeconds: 1 }, [0.05, 3600]],
  ])('cuts schedules to its %s', async (_, limits, retrySchedule) => {
    await account.endpoint({ url: dead.url, retrySchedule });
    await give(limits);
    const event = await account.publish();
    const delivery = await account.deliveryOf(event, ({ status }) => status === 'failed');
    expect(delivery).toMatchObject({ attemptCount: 2, statusReason: 'exhausted' });
  });

  it('sets when a circuit opens', async () => {
    const endpoints = await Promise.all(
      [account, other].map((each) => each.endpoint({ url: dead.url, retrySchedule: [3600] })),
    );
    await give({ circuitFailures: 10 });
    await publishMany(other, 15);
    await publishMany(account, 15);
    await until(
      () => stateOf(account, endpoints[0] as { id: string }),
      (state) => state === 'circuit_open',
    );
    await until(
      () => other.deliveries('status=retrying'),
      (deliveries) => deliveries.length === 15,
    );
    // What its failures come to is written after them.
    const state = await until(
      () => stateOf(other, endpoints[1] as { id: string }),
      (written) => written !== 'healthy',
    );
    expect(state).toBe('suspect');
  });

  it('disables an endpoint that is in trouble already, when it is changed to do so', async () => {
    const endpoint = await account.endpoint({ url: dead.url, retrySchedule: [3600] });
    const change = await give({});
    await account.publish();
    await until(
      () => stateOf(account, endpoint),
      (state) => state === 'suspect',
    );
    await change({ failingSeconds: 1 });
    await until(
      () => stateOf(account, endpoint),
      (state) => state === 'failing',
    );
    await change({ disableSeconds: 1 });
    await until(
      () => stateOf(account, endpoint),
      (state) => state === 'disabled',
    );
  });

  it('or none, retries of one account are spread, and none is lost or charged for it', async () => {
    const failing = 60;
    const seen = new Set<unknown>();
    const retries: number[] = [];
    const receiver = await Receiver.start((response, { headers, atMs }) => {
      const isRetry = seen.has(headers['webhook-id']);
      seen.add(headers['webhook-id']);
      if (isRetry) retries.push(atMs);
      response.writeHead(isRetry ? 200 : 500).end();
    });
    await give({ circuitFailures: 0 });
    await account.endpoint({ url: receiver.url, retrySchedule: [2] });
    await publishMany(account, failing);
    await receiver.got(2 * failing);
    // Ten at once, and ten a second from then on.
    const seconds = (Math.max(...retries) - Math.min(...retries)) / 1000;
    expect(seconds).toBeGreaterThan((failing / WORKERS - 10) / 10 - 0.5);
    const deliveries = await until(
      () => account.deliveries('status=delivered'),
      (delivered) => delivered.length === failing,
    );
    expect(deliveries.every(({ attemptCount }) => attemptCount === 2)).toBe(true);
    await receiver.stop();
  });
});

describe('a plan, where a process has as much to do as it may', () => {
  it('delays retries by so much, and those of other plans by nothing', async () => {
    const system = await System.start({ env: { POSTHORN_ATTEMPT_CONCURRENCY: '1' } });
    const dead = await Receiver.answering(500);
    const [account, other] = [await system.account(), await system.account()];
    await system.ok('POST', '/plans', { name: 'patient', limits: { retryDelayUnderLoadSeconds: 7200 } });
    await system.ok('PATCH', account.path, { plan: 'patient' });
    await everywhere();
    const delayOf = async (of: Account) => {
      await of.endpoint({ url: dead.url, retrySchedule: [3600] });
      const { id } = await of.deliveryOf(await of.publish(), ({ status }) => status === 'retrying');
      const { nextAttemptAt } = await of.delivery(id);
      return (Date.parse(nextAttemptAt ?? '') - Date.now()) / 3_600_000;
    };
    expect(await delayOf(account)).toBeGreaterThan(2.5);
    expect(await delayOf(other)).toBeLessThan(1.5);
    await dead.stop();
    await system.stop();
  });
});
