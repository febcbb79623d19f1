import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { fromId } from '../../src/common/ids.js';
import type { EndpointHealthShown } from '../../src/endpoint-health/endpoint-health.schema.js';
import type { NotificationShown } from '../../src/notifications/notifications.schema.js';
import { endpointHealthWorkflowId } from '../../workflows/contracts.js';
import { Receiver } from '../support/receiver.js';
import { testServers } from '../support/servers.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

/** Failures in a row that open a circuit here. */
const MANY = 20;

describe('the health of an endpoint', () => {
  let system: System;
  let account: Account;
  let receiver: Receiver;
  let isDead: boolean;

  beforeAll(async () => {
    system = await System.start({
      env: {
        POSTHORN_CIRCUIT_SECONDS: '0',
        POSTHORN_CIRCUIT_FAILURES: String(MANY),
        POSTHORN_CIRCUIT_PROBE_SECONDS: '1',
      },
    });
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    isDead = true;
    receiver = await Receiver.start((response) => response.writeHead(isDead ? 500 : 200).end());
  });
  afterEach(() => receiver.stop());

  const health = (endpoint: { id: string }) =>
    system.ok<EndpointHealthShown>('GET', `${account.path}/endpoints/${endpoint.id}/health`);
  const state = (endpoint: { id: string }, wanted: EndpointHealthShown['state']) =>
    until(
      () => health(endpoint),
      (shown) => shown.state === wanted,
    );
  const notifications = async (of = account) =>
    (await system.ok<{ data: NotificationShown[] }>('GET', `${of.path}/notifications`)).data;
  const kinds = async () => (await notifications()).map(({ kind }) => kind).reverse();
  const publishMany = (count: number) =>
    system.ok('POST', `${account.path}/events/batch`, {
      events: Array.from({ length: count }, (_, n) => ({ type: 'invoice.paid', data: { n } })),
    });
  const count = async (status: string) =>
    Number(
      (
        await system.sql<{ count: string }>(
          `SELECT count(*) FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id WHERE e.url = $1 AND d.status = $2`,
          [receiver.url, status],
        )
      )[0]?.count,
    );

  it('is well from the start, with the figures of its attempts', async () => {
    isDead = false;
    const endpoint = await account.endpoint({ url: receiver.url });
    expect(await health(endpoint)).toMatchObject({
      state: 'healthy',
      since: endpoint.createdAt,
      failingSince: null,
      consecutiveFailures: 0,
      lastError: null,
      windows: { '1h': { attempts: 0, successRate: null, p50Ms: null } },
    });
    await publishMany(3);
    const { windows } = await until(
      () => health(endpoint),
      (shown) => shown.windows['1h'].attempts === 3,
    );
    expect(windows['7d']).toEqual(windows['1h']);
    expect(windows['1h'].successRate).toBe(1);
    expect(windows['1h'].p99Ms).toBeGreaterThan(0);
  });

  it('is suspect after a failure, and well again after a success, and nobody is told', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [3600] });
    const event = await account.publish();
    const suspect = await state(endpoint, 'suspect');
    expect(suspect).toMatchObject({ consecutiveFailures: 1, lastError: { code: 'http_500' } });
    isDead = false;
    const { id } = await account.deliveryOf(event, ({ status }) => status === 'retrying');
    await system.ok('POST', `${account.path}/deliveries/${id}/retry`);
    await account.deliveryOf(event, ({ status }) => status === 'delivered');
    expect(await state(endpoint, 'healthy')).toMatchObject({ failingSince: null, consecutiveFailures: 0 });
    expect(await notifications()).toEqual([]);
  });

  it('opens no circuit for hardly any successes before attempts have been made for five minutes', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [3600] });
    const failOnce = async (failures: number) => {
      await account.publish();
      return until(
        () => health(endpoint),
        (shown) => shown.consecutiveFailures === failures && shown.state !== 'healthy',
      );
    };
    const uuid = fromId('endpoint', endpoint.id);
    // A row's attempts may have been made in its last moments.
    await system.sql(
      `INSERT INTO endpoint_stats VALUES ($1, now() - interval '9 minutes', 100, 0, ARRAY[100])`,
      [uuid],
    );
    expect(await failOnce(1)).toMatchObject({ state: 'suspect' });
    expect(await failOnce(2)).toMatchObject({ state: 'suspect' });
    await system.sql(
      `UPDATE endpoint_stats SET starts_at = starts_at - interval '2 minutes' WHERE endpoint_id = $1 AND attempts = 100`,
      [uuid],
    );
    await account.publish();
    await state(endpoint, 'circuit_open');
  });

  it.each([
    ['durable', 300],
    ['express', 10_000],
    ['auto', 300],
  ])(
    'opens the circuit of a dead one in lane %s: all %i wait, one is tried now and then, and all arrive when it is back',
    async (lane, waiting) => {
      const endpoint = await account.endpoint({ url: receiver.url, lane, retrySchedule: [3600, 3600, 3600] });
      await publishMany(MANY);
      const { since } = await state(endpoint, 'circuit_open');
      const before = receiver.received.length;
      for (let published = 0; published < waiting; published += 1_000)
        await publishMany(Math.min(1_000, waiting - published));
      await until(
        () => count('held'),
        // Those that were tried wait for their own backoff.
        (held) => held + receiver.received.length - before >= waiting,
      );
      const late = await account.publish();
      const { statusReason } = await account.deliveryOf(late, ({ status }) => status === 'held');
      expect(statusReason).toBe('circuit_open');
      await until(
        () => receiver.received.length,
        (received) => received >= before + 2,
      );
      const probes = receiver.received.slice(before).map(({ atMs }) => atMs);
      // One a second at most.
      const openMs = (probes.at(-1) ?? 0) - new Date(since).getTime();
      expect(probes.length).toBeLessThanOrEqual(1 + openMs / 1000);
      isDead = false;
      await until(
        () => count('delivered'),
        (delivered) => delivered >= waiting + 1 - probes.length,
        60_000,
      );
      await state(endpoint, 'healthy');
      expect(await kinds()).toEqual(['endpoint.circuit_open', 'endpoint.recovered']);
      // Those that waited for their own backoff still do; nothing waits for the circuit.
      expect(await count('held')).toBe(0);
    },
    90_000,
  );

  it('tries what waited for its circuit when it had to be verified meanwhile', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [3600, 3600, 3600] });
    await publishMany(MANY);
    await state(endpoint, 'circuit_open');
    const event = await account.publish();
    await account.deliveryOf(event, ({ status }) => status === 'held');
    isDead = false;
    await system.ok('PATCH', `${account.path}/endpoints/${endpoint.id}`, { verification: 'ping' });
    await account.deliveryOf(event, ({ status }) => status === 'delivered');
    await state(endpoint, 'healthy');
  });

  it('is looked at no more once it is deleted, or disabled for good', async () => {
    const [deleted, disabled] = [
      await account.endpoint({ url: receiver.url, verification: 'ping' }),
      await account.endpoint({ url: receiver.url }),
    ];
    await system.ok('DELETE', `${account.path}/endpoints/${deleted.id}`);
    // Attempts that were under way begin a record.
    await system.sql(
      `WITH gone AS (UPDATE endpoints SET disabled_reason = 'failing' WHERE id = $2)
       INSERT INTO endpoint_health (endpoint_id, review_at) VALUES ($1, now() - interval '1 day'), ($2, now() - interval '1 day')`,
      [deleted, disabled].map(({ id }) => fromId('endpoint', id)),
    );
    const due = () =>
      system.sql(
        `SELECT FROM endpoint_health WHERE endpoint_id = ANY ($1::uuid[])
         UNION ALL SELECT FROM endpoint_verifications WHERE endpoint_id = ANY ($1::uuid[])`,
        [[deleted, disabled].map(({ id }) => fromId('endpoint', id))],
      );
    await until(due, ({ length }) => length === 0, 60_000);
  });

  it('has a workflow for each of many endpoints that begin to fail at once', async () => {
    const endpoints = await Promise.all(
      Array.from({ length: 6 }, () => account.endpoint({ url: receiver.url })),
    );
    await account.publish();
    const connection = await Connection.connect({ address: testServers().temporalAddress });
    try {
      const { workflow } = new Client({ connection });
      const isWatched = async ({ id }: { id: string }) => {
        const described = await workflow
          .getHandle(endpointHealthWorkflowId(id))
          .describe()
          .catch(() => null);
        return described?.status.name === 'RUNNING';
      };
      await until(
        () => Promise.all(endpoints.map(isWatched)),
        (watched) => watched.every(Boolean),
      );
    } finally {
      await connection.close();
    }
  });

  it('lets a retry by hand through an open circuit at once', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [3600] });
    await publishMany(MANY);
    await state(endpoint, 'circuit_open');
    const event = await account.publish();
    const { id } = await account.deliveryOf(event, ({ status }) => status === 'held');
    isDead = false;
    await system.ok('POST', `${account.path}/deliveries/${id}/retry`);
    await account.deliveryOf(event, ({ status }) => status === 'delivered');
    await state(endpoint, 'healthy');
  });

  it.each([
    ['waits for its next attempt', [3600], 'retrying'],
    ['was given up', [], 'failed'],
  ])('lets one through that %s, too', async (_, retrySchedule, before) => {
    // No other probe comes meanwhile.
    const plan = `probes-hourly-${before}`;
    await system.ok('POST', '/plans', { name: plan, limits: { circuitProbeSeconds: 3600 } });
    await system.ok('PATCH', account.path, { plan });
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule });
    await publishMany(MANY);
    await state(endpoint, 'circuit_open');
    const [tried] = await account.deliveries(`status=${before}`);
    isDead = false;
    await system.ok('POST', `${account.path}/deliveries/${tried?.id}/retry`);
    await until(
      () => account.delivery(tried?.id ?? ''),
      ({ status }) => status === 'delivered',
    );
    await state(endpoint, 'healthy');
  });

  it.each([
    ['paused and resumed', [{ paused: true }, { paused: false }]],
    ['set to active', [{ status: 'active' }]],
    ['given another address', [{ url: 'elsewhere' }]],
  ])('begins anew when the endpoint is %s', async (_how, changes) => {
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [3600] });
    await publishMany(MANY);
    await state(endpoint, 'circuit_open');
    const event = await account.publish();
    await account.deliveryOf(event, ({ status }) => status === 'held');
    const other = await Receiver.start();
    try {
      isDead = false;
      for (const change of changes) {
        const body = 'url' in change ? { url: other.url } : change;
        await system.ok('PATCH', `${account.path}/endpoints/${endpoint.id}`, body);
      }
      await account.deliveryOf(event, ({ status }) => status === 'delivered');
      expect((await health(endpoint)).state).toBe('healthy');
    } finally {
      await other.stop();
    }
  });

  it('tells of deliveries that were given up once, with their number', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [1] });
    await publishMany(5);
    await until(
      () => count('failed'),
      (failed) => failed === 5,
    );
    await state(endpoint, 'failing');
    const told = await until(
      () => notifications(),
      (list) => list.some(({ kind }) => kind === 'endpoint.deliveries_failed'),
    );
    expect(told.map(({ kind }) => kind).toSorted()).toEqual([
      'endpoint.deliveries_failed',
      'endpoint.failing',
    ]);
    expect(told.every(({ endpointId }) => endpointId === endpoint.id)).toBe(true);
    expect(told[0]?.data).toMatchObject({
      lastError: 'http_500',
      endpointOrigin: new URL(receiver.url).origin,
    });
  });

  it('says of one that is gone that it is disabled', async () => {
    const gone = await Receiver.answering(410);
    try {
      const endpoint = await account.endpoint({ url: gone.url });
      await account.publish();
      await state(endpoint, 'disabled');
      expect(await notifications()).toMatchObject([
        { kind: 'endpoint.disabled', endpointId: endpoint.id, data: { reason: 'gone' } },
      ]);
    } finally {
      await gone.stop();
    }
  });

  it('is shown to nobody else', async () => {
    const endpoint = await account.endpoint({ url: receiver.url });
    const other = await system.account('Other');
    const { secret } = await system.ok<{ secret: string }>('POST', `${other.path}/keys`, { name: 'other' });
    const authorization = `Bearer ${secret}`;
    for (const path of [`${account.path}/endpoints/${endpoint.id}/health`, `${account.path}/notifications`]) {
      expect((await system.call('GET', path, undefined, { authorization })).status).toBe(404);
    }
    expect((await system.call('GET', `${other.path}/endpoints/${endpoint.id}/health`)).status).toBe(404);
  });
});

describe('an endpoint that stays dead', () => {
  let system: System;
  afterEach(() => system.stop());

  it('is disabled after its time, its deliveries can be recovered, and it is well again when it is set to active', async () => {
    system = await System.start({
      env: { POSTHORN_HEALTH_FAILING_SECONDS: '1', POSTHORN_HEALTH_DISABLE_SECONDS: '4' },
    });
    const account = await system.account();
    let isDead = true;
    const receiver = await Receiver.start((response) => response.writeHead(isDead ? 500 : 200).end());
    try {
      const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [3600] });
      const event = await account.publish();
      const { id, statusReason } = await account.deliveryOf(event, ({ status }) => status === 'skipped');
      expect(statusReason).toBe('endpoint_disabled');
      const path = `${account.path}/endpoints/${endpoint.id}`;
      expect(await system.ok('GET', path)).toMatchObject({ status: 'disabled', statusReason: 'failing' });
      const { data } = await system.ok<{ data: NotificationShown[] }>('GET', `${account.path}/notifications`);
      expect(data.map(({ kind }) => kind)).toEqual(['endpoint.disabled', 'endpoint.failing']);
      isDead = false;
      await system.ok('PATCH', path, { status: 'active' });
      await system.ok('POST', `${account.path}/deliveries/${id}/retry`);
      await account.deliveryOf(event, ({ status }) => status === 'delivered');
      expect(await system.ok('GET', `${path}/health`)).toMatchObject({ state: 'healthy' });
    } finally {
      await receiver.stop();
    }
  }, 60_000);

  it('is asked now and then whether it is back, where that is set, and enabled again when it says so', async () => {
    system = await System.start({ env: { POSTHORN_HEALTH_DISABLE_SECONDS: '1' } });
    await system.ok('POST', '/plans', { name: 'patient', limits: { reenableProbeSeconds: 1 } });
    const account = await system.account();
    await system.ok('PATCH', account.path, { plan: 'patient' });
    let isDead = true;
    const receiver = await Receiver.start((response) => response.writeHead(isDead ? 500 : 200).end());
    try {
      const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [3600] });
      const path = `${account.path}/endpoints/${endpoint.id}`;
      await account.deliveryOf(await account.publish(), ({ status }) => status === 'skipped');
      await receiver.got(3);
      expect(await system.ok('GET', path)).toMatchObject({ status: 'disabled', statusReason: 'failing' });
      expect(await system.ok('GET', `${path}/health`)).toMatchObject({ state: 'disabled' });
      isDead = false;
      await until(
        () => system.ok<{ status: string }>('GET', path),
        ({ status }) => status === 'active',
      );
      const types = receiver.received.map(({ body }) => (JSON.parse(body) as { type: string }).type);
      expect(types.filter((type) => type !== 'ping')).toHaveLength(1);
      const { data } = await system.ok<{ data: NotificationShown[] }>('GET', `${account.path}/notifications`);
      expect(data.map(({ kind }) => kind)).toEqual(['endpoint.reenabled', 'endpoint.disabled']);
      await account.deliveryOf(await account.publish(), ({ status }) => status === 'delivered');
      expect(await system.ok('GET', `${path}/health`)).toMatchObject({ state: 'healthy' });
    } finally {
      await receiver.stop();
    }
  }, 60_000);

  it('is asked no more once its receiver says that it is gone', async () => {
    system = await System.start({
      env: { POSTHORN_HEALTH_DISABLE_SECONDS: '1', POSTHORN_REENABLE_PROBE_SECONDS: '1' },
    });
    const account = await system.account();
    let status = 500;
    const receiver = await Receiver.start((response) => response.writeHead(status).end());
    try {
      const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [3600] });
      await account.deliveryOf(await account.publish(), (delivery) => delivery.status === 'skipped');
      status = 410;
      await until(
        () => system.ok('GET', `${account.path}/endpoints/${endpoint.id}`),
        ({ statusReason }) => statusReason === 'gone',
      );
      expect(await system.sql('SELECT 1 FROM endpoint_health')).toEqual([]);
    } finally {
      await receiver.stop();
    }
  }, 60_000);
});
