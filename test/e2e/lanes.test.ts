import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { Webhook } from 'standardwebhooks';
import { fromId } from '../../src/common/ids.js';
import { LANES } from '../../src/common/lane.js';
import type { DeliveryShown } from '../../src/deliveries/deliveries.schema.js';
import { Gate } from '../support/gate.js';
import { type Answering, Receiver } from '../support/receiver.js';
import { totals } from '../support/metrics.js';
import { itInOneProcess } from '../support/one-process.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

const failing: Answering = (response) => response.writeHead(500).end();
const fine: Answering = (response) => response.end();
const HOUR = 3600;
const OPEN = ['pending', 'retrying', 'held'];

/** How many first attempts went each way since the system began. */
async function wentBy(system: System): Promise<Record<'durable' | 'express', number>> {
  const by = (lane: string) => totals(system, `posthorn_first_attempts_total{lane="${lane}"}`);
  return { durable: await by('durable'), express: await by('express') };
}

const webhookIds = (receiver: Receiver) => receiver.received.map(({ headers }) => headers['webhook-id']);

describe.each(LANES)('a delivery in the lane %s', (lane) => {
  let system: System;
  let account: Account;
  let receiver: Receiver;
  let others: Receiver[];
  /** Deliveries of earlier tests that are to wait for hours. */
  let leftBefore: number;

  beforeAll(async () => {
    system = await System.start({ env: { POSTHORN_LANE: lane } });
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    receiver = await Receiver.start();
    others = [];
    leftBefore = await inHand();
  });
  afterEach(async () => {
    await Promise.all([receiver, ...others].map((each) => each.stop()));
  });

  const act = (delivery: { id: string }, verb: 'retry' | 'cancel') =>
    system.call<DeliveryShown & { code: string }>(
      'POST',
      `${account.path}/deliveries/${delivery.id}/${verb}`,
    );
  const change = (endpoint: { id: string }, body: Record<string, unknown>) =>
    system.ok('PATCH', `${account.path}/endpoints/${endpoint.id}`, body);
  const inHand = async () =>
    (await totals(system, 'posthorn_dispatch_backlog')) +
    (await totals(system, 'posthorn_attempts_in_flight'));
  /** Resolves when no process has anything in hand that was not there before the test. */
  const idle = () => until(inHand, (count) => count <= leftBefore);
  const ended = async (event: { id: string }) => {
    const { id } = await account.deliveryOf(event, ({ status }) => !OPEN.includes(status));
    return account.delivery(id);
  };
  /** A delivery whose first attempt failed and whose second is an hour away. */
  const sleeping = async () => {
    receiver.answers(failing);
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [HOUR, HOUR] });
    const event = await account.publish();
    const delivery = await account.deliveryOf(event, ({ status }) => status === 'retrying');
    return { endpoint, event, delivery };
  };
  /** Two deliveries that wait unsent, since the only place of their endpoint is taken by a third. */
  const unsent = async () => {
    const gate = new Gate();
    receiver.answers(gate.answer);
    const endpoint = await account.endpoint({ url: receiver.url, maxInFlight: 1 });
    const sent = await account.publish();
    await receiver.got(1);
    const waiting = [await account.publish(), await account.publish()] as const;
    return { gate, endpoint, sent, waiting };
  };

  it('arrives once, signed, with the body that was published', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, headers: { 'X-Tenant': 'seven' } });
    const event = await account.publish({ timestamp: '2026-01-02T03:04:05Z' });
    const [request] = await receiver.got(1);
    const headers = request?.headers as Record<string, string>;
    expect(new Webhook(endpoint.signingSecret).verify(request?.body ?? '', headers)).toEqual({
      id: event.id,
      type: 'invoice.paid',
      timestamp: '2026-01-02T03:04:05.000Z',
      version: '1',
      data: { amount: 100 },
    });
    expect(headers).toMatchObject({ 'webhook-id': event.id, 'x-tenant': 'seven' });
    const delivery = await ended(event);
    expect(delivery).toMatchObject({ status: 'delivered', attemptCount: 1, statusReason: null, live: false });
    expect(delivery.attempts).toMatchObject([
      { number: 1, trigger: 'schedule', outcome: 'delivered', statusCode: 200 },
    ]);
    expect(receiver.received).toHaveLength(1);
  });

  it(`that succeeds at once has ${lane === 'express' ? 'no workflow' : 'a workflow of its own'}`, async () => {
    await account.endpoint({ url: receiver.url });
    const before = await wentBy(system);
    const delivery = await ended(await account.publish());
    if (lane === 'express') expect(delivery.workflow.runId).toBeNull();
    else expect(delivery.workflow.runId).toEqual(expect.any(String));
    const way = lane === 'express' ? 'express' : 'durable';
    expect(await wentBy(system)).toEqual({ ...before, [way]: before[way] + 1 });
  });

  it('that fails at first is taken on by a workflow, with the first attempt on its log', async () => {
    receiver.answers((response, _received, count) => response.writeHead(count === 1 ? 503 : 200).end());
    await account.endpoint({ url: receiver.url, retrySchedule: [0.05, HOUR] });
    const event = await account.publish();
    const delivery = await ended(event);
    expect(delivery).toMatchObject({ status: 'delivered', attemptCount: 2 });
    expect(delivery.attempts).toMatchObject([
      { number: 1, trigger: 'schedule', outcome: 'transient', statusCode: 503 },
      { number: 2, trigger: 'schedule', outcome: 'delivered', statusCode: 200 },
    ]);
    expect(delivery.workflow.runId).toEqual(expect.any(String));
    expect(webhookIds(receiver)).toEqual([event.id, event.id]);
  });

  it('that sleeps is shown as its workflow has it', async () => {
    const { delivery } = await sleeping();
    const live = await until(
      () => account.delivery(delivery.id),
      (shown) => shown.live,
    );
    expect(live).toMatchObject({ status: 'retrying', statusReason: 'http_500', attemptCount: 1 });
    expect(live.attempts).toMatchObject([{ number: 1, outcome: 'transient', statusCode: 500 }]);
    expect(Date.parse(live.nextAttemptAt ?? '')).toBeGreaterThan(Date.parse(live.createdAt) + 3_000_000);
  });

  it('is given up when its schedule is exhausted', async () => {
    receiver.answers(failing);
    await account.endpoint({ url: receiver.url, retrySchedule: [0.05, 0.05] });
    const delivery = await ended(await account.publish());
    expect(delivery).toMatchObject({ status: 'failed', statusReason: 'exhausted', attemptCount: 3 });
    expect(delivery.attempts.map(({ number }) => number)).toEqual([1, 2, 3]);
  });

  it('without retries is given up after its first attempt', async () => {
    receiver.answers(failing);
    await account.endpoint({ url: receiver.url, retrySchedule: [] });
    const delivery = await ended(await account.publish());
    expect(delivery).toMatchObject({ status: 'failed', statusReason: 'exhausted', attemptCount: 1 });
  });

  it('is given up after three answers that will hardly change, the first one counted', async () => {
    receiver.answers((response) => response.writeHead(404).end());
    await account.endpoint({ url: receiver.url, retrySchedule: [0.05, 0.05, 0.05, 0.05, 0.05] });
    const delivery = await ended(await account.publish());
    expect(delivery).toMatchObject({ status: 'failed', statusReason: 'permanent', attemptCount: 3 });
  });

  it('is given up at 410, which disables the endpoint and skips what comes after', async () => {
    receiver.answers((response) => response.writeHead(410).end());
    const endpoint = await account.endpoint({ url: receiver.url });
    expect(await ended(await account.publish())).toMatchObject({
      status: 'failed',
      statusReason: 'gone',
      attemptCount: 1,
    });
    expect(await system.ok('GET', `${account.path}/endpoints/${endpoint.id}`)).toMatchObject({
      status: 'disabled',
      statusReason: 'gone',
    });
    const later = await ended(await account.publish());
    expect(later).toMatchObject({
      status: 'skipped',
      statusReason: 'endpoint_disabled',
      attemptCount: 0,
      completedAt: expect.any(String),
    });
    expect((await act(later, 'retry')).body.code).toBe('endpoint_disabled');
    expect(receiver.received).toHaveLength(1);
  });

  it('is not sent to an address that is not allowed', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [0.05] });
    // As if the name had led elsewhere since the endpoint was made.
    await system.sql('UPDATE endpoints SET url = $2 WHERE url = $1', [endpoint.url, 'https://10.1.2.3/hook']);
    const delivery = await ended(await account.publish());
    expect(delivery).toMatchObject({ status: 'failed', statusReason: 'blocked', attemptCount: 1 });
    expect(delivery.attempts).toMatchObject([{ outcome: 'blocked', errorCode: 'address_refused' }]);
  });

  // Two workers have a place each for an endpoint, so that nothing can be made to wait for the only one.
  itInOneProcess('is not sent once it was cancelled, while it waits for its first attempt', async () => {
    const { gate, sent, waiting } = await unsent();
    const [cancelled, kept] = waiting;
    const delivery = await account.deliveryOf(cancelled);
    const answer = await act(delivery, 'cancel');
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({ status: 'cancelled', statusReason: 'cancelled_by_request' });
    gate.open();
    await Promise.all([ended(sent), ended(kept)]);
    await idle();
    expect(webhookIds(receiver)).toEqual([sent.id, kept.id]);
    expect(await account.delivery(delivery.id)).toMatchObject({ status: 'cancelled', attemptCount: 0 });
  });

  it('is not sent again once it was cancelled in its backoff', async () => {
    receiver.answers(failing);
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [1] });
    const event = await account.publish();
    const delivery = await account.deliveryOf(event, ({ status }) => status === 'retrying');
    expect((await act(delivery, 'cancel')).body).toMatchObject({ status: 'cancelled', nextAttemptAt: null });
    // By the time of a later one's retry its own would have come.
    const other = await account.publish();
    await account.deliveryOf(other, ({ status }) => status === 'failed', endpoint);
    expect(webhookIds(receiver).filter((id) => id === event.id)).toHaveLength(1);
    expect(await account.delivery(delivery.id)).toMatchObject({ status: 'cancelled', attemptCount: 1 });
  });

  it('cancelled and retried at once is sent, however the two meet with its workflow', async () => {
    const failed = new Set<unknown>();
    receiver.answers((response, { headers: { 'webhook-id': id } }) => {
      response.writeHead(failed.has(id) ? 200 : 500).end();
      failed.add(id);
    });
    await account.endpoint({ url: receiver.url, retrySchedule: [HOUR] });
    const events = await Promise.all(Array.from({ length: 10 }, () => account.publish()));
    await Promise.all(
      events.map(async (event) => {
        const delivery = await account.deliveryOf(event, ({ status }) => status === 'retrying');
        expect((await act(delivery, 'cancel')).status).toBe(202);
        expect((await act(delivery, 'retry')).status).toBe(202);
      }),
    );
    for (const event of events)
      await account.deliveryOf(
        event,
        ({ status, attemptCount }) => status === 'delivered' && attemptCount === 2,
      );
  });

  it('is sent again under the same id when it was delivered and is retried', async () => {
    await account.endpoint({ url: receiver.url });
    const event = await account.publish();
    const delivery = await ended(event);
    expect((await act(delivery, 'retry')).status).toBe(202);
    await account.deliveryOf(
      event,
      ({ attemptCount, status }) => attemptCount === 2 && status === 'delivered',
    );
    const { attempts } = await account.delivery(delivery.id);
    expect(attempts.map(({ number, trigger }) => [number, trigger])).toEqual([
      [1, 'schedule'],
      [2, 'manual'],
    ]);
    expect(webhookIds(receiver)).toEqual([event.id, event.id]);
  });

  it('is sent at once when it is retried in its backoff', async () => {
    const { event, delivery } = await sleeping();
    receiver.answers(fine);
    expect((await act(delivery, 'retry')).status).toBe(202);
    const { attempts } = await ended(event);
    expect(attempts.map(({ number, trigger, outcome }) => [number, trigger, outcome])).toEqual([
      [1, 'schedule', 'transient'],
      [2, 'manual', 'delivered'],
    ]);
  });

  itInOneProcess(
    'is held by a pause, sent or not, and goes on once when the endpoint is resumed',
    async () => {
      const { gate, endpoint, sent, waiting } = await unsent();
      await change(endpoint, { paused: true });
      const later = await account.publish();
      for (const event of [...waiting, later]) {
        expect(await account.deliveryOf(event)).toMatchObject({
          status: 'held',
          statusReason: 'endpoint_paused',
        });
      }
      const held = await account.deliveryOf(later);
      expect((await act(held, 'retry')).body.code).toBe('delivery_held');
      gate.open();
      await ended(sent);
      await idle();
      expect(webhookIds(receiver)).toEqual([sent.id]);
      await change(endpoint, { paused: false });
      for (const event of [...waiting, later]) expect(await ended(event)).toMatchObject({ attemptCount: 1 });
      await idle();
      expect(webhookIds(receiver).sort()).toEqual([sent.id, ...waiting.map(({ id }) => id), later.id].sort());
    },
  );

  it('keeps its place in the schedule over a pause in its backoff', async () => {
    const { endpoint, event, delivery } = await sleeping();
    await change(endpoint, { paused: true });
    expect(await account.delivery(delivery.id)).toMatchObject({ status: 'held', attemptCount: 1 });
    await change(endpoint, { paused: false });
    const resumed = await until(
      () => account.delivery(delivery.id),
      ({ status, live }) => status === 'retrying' && live,
    );
    expect(resumed.attemptCount).toBe(1);
    receiver.answers(fine);
    await act(delivery, 'retry');
    expect(await ended(event)).toMatchObject({ status: 'delivered', attemptCount: 2 });
  });

  it('goes on when it was published just before a resume that takes long', async () => {
    const endpoint = await account.endpoint({ url: receiver.url });
    await change(endpoint, { paused: true });
    const resuming = new pg.Client(system.databaseUrl);
    await resuming.connect();
    try {
      await resuming.query('BEGIN');
      await resuming.query('UPDATE endpoints SET paused = false WHERE id = $1', [
        fromId('endpoint', endpoint.id),
      ]);
      const event = await account.publish();
      const { id } = await account.deliveryOf(event, ({ status }) => status === 'held');
      // Whoever looks meanwhile still reads that it is to wait.
      const due = () =>
        system.sql<{ later: boolean | null }>(
          `SELECT due_at > created_at + interval '3 seconds' AS later FROM deliveries WHERE id = $1`,
          [fromId('delivery', id)],
        );
      await until(due, ([row]) => row?.later !== false);
      await resuming.query('COMMIT');
      expect(await ended(event)).toMatchObject({ status: 'delivered', attemptCount: 1 });
    } finally {
      await resuming.end();
    }
  });

  it('is lost by none when the endpoint is paused and resumed over and over while events come in', async () => {
    const endpoint = await account.endpoint({ url: receiver.url });
    const publishing = Array.from({ length: 40 }, () => account.publish());
    for (let round = 0; round < 4; round += 1) {
      await change(endpoint, { paused: true });
      await change(endpoint, { paused: false });
    }
    const events = await Promise.all(publishing);
    await until(
      () => account.deliveries('status=delivered'),
      (delivered) => delivered.length === 40,
    );
    // Some were released by the pause's end while they still waited here.
    await idle();
    expect(webhookIds(receiver).sort()).toEqual(events.map(({ id }) => id).sort());
  });

  itInOneProcess('is cancelled with its endpoint, sent or not', async () => {
    const { gate, endpoint, sent, waiting } = await unsent();
    expect((await system.call('DELETE', `${account.path}/endpoints/${endpoint.id}`)).status).toBe(204);
    gate.open();
    for (const event of [sent, ...waiting]) {
      expect(await account.deliveryOf(event)).toMatchObject({
        status: 'cancelled',
        statusReason: 'endpoint_deleted',
      });
    }
    await idle();
    expect(webhookIds(receiver)).toEqual([sent.id]);
    expect((await act(await account.deliveryOf(sent), 'retry')).body.code).toBe('endpoint_deleted');
  });

  it('waits when the receiver has asked for quiet, though it was published later', async () => {
    const healthy = await Receiver.start();
    others.push(healthy);
    receiver.answers((response) => response.writeHead(503, { 'retry-after': '3600' }).end());
    const quiet = await account.endpoint({ url: receiver.url, retrySchedule: [0.05] });
    const first = await account.publish();
    const throttled = await account.deliveryOf(first, ({ status }) => status === 'retrying');
    expect(Date.parse(throttled.nextAttemptAt ?? '')).toBeGreaterThan(
      Date.parse(throttled.createdAt) + 3_500_000,
    );
    await account.endpoint({ url: healthy.url });
    const later = await Promise.all(Array.from({ length: 5 }, () => account.publish()));
    await healthy.got(5);
    for (const event of later) {
      expect(await account.deliveryOf(event, () => true, quiet)).toMatchObject({
        status: 'pending',
        attemptCount: 0,
      });
    }
    expect(webhookIds(receiver)).toEqual([first.id]);
  });

  it('is one for an external id, however often that is published', async () => {
    await account.endpoint({ url: receiver.url });
    const publishes = await Promise.all(
      Array.from({ length: 5 }, () => account.publish({ externalId: 'order-7' })),
    );
    expect(new Set(publishes.map(({ id }) => id)).size).toBe(1);
    expect(publishes.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    await ended(publishes[0] ?? { id: '' });
    await idle();
    expect(receiver.received).toHaveLength(1);
    expect(await account.deliveries()).toHaveLength(1);
  });

  it('is found in the log by its endpoint, type, status, priority and event', async () => {
    const broken = await Receiver.answering(500);
    others.push(broken);
    const good = await account.endpoint({ url: receiver.url });
    const bad = await account.endpoint({ url: broken.url, retrySchedule: [HOUR], eventTypes: ['user.*'] });
    const invoice = await account.publish({ priority: 'high' });
    const user = await account.publish({ type: 'user.made' });
    await Promise.all([
      account.deliveryOf(invoice, ({ status }) => status === 'delivered', good),
      account.deliveryOf(user, ({ status }) => status === 'delivered', good),
      account.deliveryOf(user, ({ status }) => status === 'retrying', bad),
    ]);
    const found = async (query: string) =>
      (await account.deliveries(query)).map(({ eventId, endpointId }) => [eventId, endpointId]);
    expect(await found('status=retrying')).toEqual([[user.id, bad.id]]);
    expect(await found(`status=delivered&eventId=${user.id}`)).toEqual([[user.id, good.id]]);
    expect(await found(`endpointId=${bad.id}`)).toEqual([[user.id, bad.id]]);
    expect(await found('eventType=invoice.paid')).toEqual([[invoice.id, good.id]]);
    expect(await found('priority=high')).toEqual([[invoice.id, good.id]]);
    expect(await found('status=pending')).toEqual([]);
  });

  it.each(['durable', 'express'] as const)('goes by %s where its endpoint says so', async (own) => {
    await account.endpoint({ url: receiver.url, lane: own });
    const before = await wentBy(system);
    const delivery = await ended(await account.publish());
    expect(await wentBy(system)).toEqual({ ...before, [own]: before[own] + 1 });
    if (own === 'express') expect(delivery.workflow.runId).toBeNull();
    else expect(delivery.workflow.runId).toEqual(expect.any(String));
  });

  it('that comes in a flood arrives once, whichever way the flood goes', async () => {
    const COUNT = 400;
    await account.endpoint({ url: receiver.url });
    const before = await wentBy(system);
    const events = Array.from({ length: COUNT }, (_, index) => ({ type: 'flood.one', data: { index } }));
    await system.ok('POST', `${account.path}/events/batch`, { events });
    await receiver.got(COUNT);
    await until(
      async () => {
        const [row] = await system.sql<{ count: number }>(
          `SELECT count(*)::int AS count FROM deliveries WHERE event_type = 'flood.one' AND status = 'delivered'`,
        );
        return row?.count;
      },
      (count) => count === COUNT,
    );
    await idle();
    expect(receiver.received).toHaveLength(COUNT);
    expect(new Set(webhookIds(receiver)).size).toBe(COUNT);
    const after = await wentBy(system);
    const went = { durable: after.durable - before.durable, express: after.express - before.express };
    expect(went.durable + went.express).toBe(COUNT);
    if (lane === 'auto') expect(went.express).toBeGreaterThan(0);
    else expect(went[lane]).toBe(COUNT);
  });
});
