import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import type { DeliverySummary } from '../../src/deliveries/deliveries.schema.js';
import { CIRCUIT_DELIVERIES } from '../../src/endpoint-health/health-policy.js';
import { Receiver } from '../support/receiver.js';
import { Account, System } from '../support/system.js';
import { until } from '../support/until.js';

describe.each(['durable', 'express'] as const)('a test in the lane %s', (lane) => {
  let system: System;
  let account: Account;
  let receiver: Receiver;

  beforeAll(async () => {
    system = await System.start({
      env: { POSTHORN_LANE: lane, POSTHORN_CIRCUIT_FAILURES: '2', POSTHORN_CIRCUIT_SECONDS: '0' },
    });
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    receiver = await Receiver.start();
  });
  afterEach(() => receiver.stop());

  const pathOf = ({ id }: { id: string }) => `${account.path}/endpoints/${id}`;
  const test = (endpoint: { id: string }, body?: unknown) =>
    system.call<DeliverySummary & { code?: string }>('POST', `${pathOf(endpoint)}/test`, body);
  const done = (id: string) =>
    until(
      () => account.delivery(id),
      ({ status }) => status === 'delivered' || status === 'failed',
    );

  it('is sent to its endpoint alone, marked in the log and by a header, signed, and byte for byte', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, eventTypes: ['invoice.*'] });
    const other = await Receiver.start();
    await account.endpoint({ url: other.url });
    const data = '{ "b":12345678901234567890, "a":1 }';
    const answer = await test(endpoint, `{"type":"order.placed","data":${data}}`);
    expect([answer.status, answer.body]).toMatchObject([
      202,
      {
        id: expect.stringMatching(/^dlv_/),
        endpointId: endpoint.id,
        eventType: 'order.placed',
        status: 'pending',
        test: true,
      },
    ]);
    const [received] = await receiver.got(1);
    if (!received) throw new Error('nothing was received');
    const { headers, body } = received;
    expect([headers['webhook-test'], headers['webhook-id']]).toEqual(['true', answer.body.eventId]);
    expect(body.endsWith(`,"version":"1","data":${data}}`)).toBe(true);
    expect(() =>
      new Webhook(endpoint.signingSecret).verify(body, {
        'webhook-id': String(headers['webhook-id']),
        'webhook-timestamp': String(headers['webhook-timestamp']),
        'webhook-signature': String(headers['webhook-signature']),
      }),
    ).not.toThrow();

    const delivery = await done(answer.body.id);
    expect(delivery).toMatchObject({ status: 'delivered', test: true, priority: 'normal' });
    expect(delivery.attempts).toMatchObject([
      { number: 1, trigger: 'test', request: { headers: { 'webhook-test': 'true' } } },
    ]);
    const event = await system.ok('GET', `${account.path}/events/${answer.body.eventId}`);
    expect(event).toMatchObject({ test: true, matched: 1, type: 'order.placed' });
    const { data: listed } = await system.ok<{ data: unknown[] }>('GET', `${account.path}/events`);
    expect(listed).toMatchObject([{ test: true }]);
    expect((await account.deliveries()).map(({ id }) => id)).toEqual([answer.body.id]);
    expect(other.received).toEqual([]);
    await other.stop();

    const { data: audited } = await system.ok<{ data: unknown[] }>(
      'GET',
      `${account.path}/audit-log?action=endpoint.test`,
    );
    expect(audited).toMatchObject([
      { resourceId: endpoint.id, changes: { deliveryId: { from: null, to: answer.body.id } } },
    ]);
  });

  it('has the example that the catalogue has of the newest version of its type', async () => {
    const type = `catalogued.t${Date.now()}`;
    await system.ok('PUT', `/event-types/${type}`, {
      versions: [
        { version: '1', examples: [{ old: true }] },
        { version: '2', examples: [{ amount: 5 }, { amount: 6 }] },
      ],
    });
    const endpoint = await account.endpoint({ url: receiver.url, eventTypes: [type] });
    await system.ok('POST', `${pathOf(endpoint)}/test`, {});
    const [{ body } = { body: '' }] = await receiver.got(1);
    expect(JSON.parse(body)).toMatchObject({ type, version: '2', data: { amount: 5 } });
  });

  it('has an example of the type that it is given, or that the endpoint names, or of none', async () => {
    const named = await account.endpoint({ url: receiver.url, eventTypes: ['github.*', 'invoice.paid'] });
    const all = await account.endpoint({ url: receiver.url });
    const send = async (endpoint: { id: string }, body?: unknown) => {
      const { body: text } = await receiver.next(() => test(endpoint, body));
      const { type, data } = JSON.parse(text) as Record<string, unknown>;
      return [type, data];
    };
    expect(await send(named, { type: 'a.b' })).toEqual(['a.b', { example: 'a.b' }]);
    expect(await send(named)).toEqual(['invoice.paid', { example: 'invoice.paid' }]);
    expect(await send(all, {})).toEqual(['posthorn.test', { example: 'posthorn.test' }]);
    expect(await send(all, { data: null })).toEqual(['posthorn.test', null]);
  });

  it('is outside quotas and rate limits of publishing', async () => {
    const name = `one-a-day-${lane}`;
    await system.ok('POST', '/plans', { name, limits: { eventsPerDay: 1 } });
    await system.ok('PATCH', account.path, { plan: name });
    const endpoint = await account.endpoint({ url: receiver.url });
    await receiver.next(() => account.publish());
    const publish = () => system.call('POST', `${account.path}/events`, { type: 'a.b', data: 1 });
    expect((await until(publish, ({ status }) => status !== 202)).body.code).toBe('daily_quota_exceeded');
    for (let count = 0; count < 3; count += 1) await receiver.next(() => test(endpoint));
    const { usage } = await system.ok<{ usage: { eventsToday: number } }>('GET', `${account.path}/limits`);
    expect(usage.eventsToday).toBe(1);
  });

  it('that fails is retried as any delivery, and neither counts into health nor disables', async () => {
    receiver.answers((response, _, count) => response.writeHead(count <= 3 ? 503 : 410).end());
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [0, 0, 0] });
    const { body } = await test(endpoint, { type: 'a.b' });
    const delivery = await done(body.id);
    expect([delivery.status, delivery.statusReason, delivery.test]).toEqual(['failed', 'gone', true]);
    expect(delivery.attempts.map(({ trigger }) => trigger)).toEqual([
      'test',
      'schedule',
      'schedule',
      'schedule',
    ]);
    expect(receiver.received.map(({ headers }) => headers['webhook-test'])).toEqual(Array(4).fill('true'));
    expect(await system.ok('GET', pathOf(endpoint))).toMatchObject({ status: 'active' });
    // Counts are written in turn: once those of a delivery that counts are there, these would be.
    receiver.answers((response) => response.writeHead(500).end());
    const elsewhere = await system.account();
    const other = await elsewhere.endpoint({ url: receiver.url, retrySchedule: [] });
    await elsewhere.publish();
    await until(
      () =>
        system.ok<{ consecutiveFailures: number }>('GET', `${elsewhere.path}/endpoints/${other.id}/health`),
      ({ consecutiveFailures }) => consecutiveFailures > 0,
    );
    expect(await system.ok('GET', `${pathOf(endpoint)}/health`)).toMatchObject({
      state: 'healthy',
      consecutiveFailures: 0,
      lastError: null,
    });
  });

  it('gets through an open circuit and leaves it open', async () => {
    receiver.answers((response) => response.writeHead(500).end());
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [] });
    for (let count = 0; count < CIRCUIT_DELIVERIES; count += 1) await account.publish();
    const state = () => system.ok<{ state: string }>('GET', `${pathOf(endpoint)}/health`);
    await until(state, (health) => health.state === 'circuit_open');
    receiver.answers((response) => response.end());
    const { body } = await test(endpoint);
    expect(await done(body.id)).toMatchObject({ status: 'delivered' });
    expect(await state()).toMatchObject({ state: 'circuit_open' });
  });

  it('is refused where nothing could be sent, and for what is no type of a publisher', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, paused: true });
    expect(await test(endpoint)).toMatchObject({ status: 409, body: { code: 'delivery_held' } });
    await system.ok('PATCH', pathOf(endpoint), { paused: false, verification: 'challenge' });
    expect(await test(endpoint)).toMatchObject({ status: 409, body: { code: 'delivery_held' } });
    await system.ok('PATCH', pathOf(endpoint), { verification: 'none' });
    await system.sql(`UPDATE endpoints SET disabled_reason = 'failing' WHERE url = $1`, [receiver.url]);
    expect(await test(endpoint)).toMatchObject({ status: 409, body: { code: 'endpoint_disabled' } });
    await system.ok('PATCH', pathOf(endpoint), { status: 'active' });
    for (const body of [{ type: 'posthorn.x' }, { type: 'a b' }, { unknown: 1 }])
      expect(await test(endpoint, body)).toMatchObject({ status: 422 });
    const large = await test(endpoint, { data: 'x'.repeat(1_048_576) });
    expect(large).toMatchObject({ status: 413, body: { code: 'payload_too_large' } });
    await system.ok('DELETE', pathOf(endpoint));
    expect((await test(endpoint)).status).toBe(404);
    expect(await account.deliveries()).toEqual([]);
  });

  it('is sent once for one idempotency key', async () => {
    const endpoint = await account.endpoint({ url: receiver.url });
    const send = () =>
      system.call('POST', `${pathOf(endpoint)}/test`, {}, { 'idempotency-key': `test-${lane}` });
    expect((await send()).body).toEqual((await send()).body);
    expect(await account.deliveries()).toHaveLength(1);
  });

  describe('mode of an account', () => {
    const inMode = async (mode: string) =>
      new Account(system, (await system.ok<{ id: string }>('POST', '/accounts', { name: 'T', mode })).id);

    it('delivers what is published to test endpoints alone, marked', async () => {
      account = await inMode('test');
      expect(await system.ok('GET', account.path)).toMatchObject({ mode: 'test' });
      const other = await Receiver.start();
      const live = await account.endpoint({ url: other.url });
      const endpoint = await account.endpoint({ url: receiver.url, test: true });
      const event = await account.publish();
      expect(event.matched).toBe(1);
      const [received] = await receiver.got(1);
      expect([received?.headers['webhook-id'], received?.headers['webhook-test']]).toEqual([
        event.id,
        'true',
      ]);
      const delivery = await account.deliveryOf(event, ({ status }) => status === 'delivered');
      expect(delivery).toMatchObject({ test: true, endpointId: endpoint.id });
      expect((await account.delivery(delivery.id)).attempts[0]?.trigger).toBe('schedule');
      expect(await system.ok('GET', `${account.path}/events/${event.id}`)).toMatchObject({ test: true });
      expect(await test(live)).toMatchObject({ status: 409, body: { code: 'endpoint_not_test' } });
      await receiver.next(() => test(endpoint));
      expect(other.received).toEqual([]);
      await other.stop();
    });

    it('that is live delivers to test endpoints what is sent to them as a test, and nothing else', async () => {
      const endpoint = await account.endpoint({ url: receiver.url, test: true });
      expect((await account.publish()).matched).toBe(0);
      const { headers } = await receiver.next(() => test(endpoint));
      expect(headers['webhook-test']).toBe('true');
      expect(receiver.received).toHaveLength(1);
    });

    it('counts from the next event on when it is changed, and the change is audited', async () => {
      const endpoint = await account.endpoint({ url: receiver.url });
      expect((await account.publish()).matched).toBe(1);
      expect(await system.ok('PATCH', account.path, { mode: 'test' })).toMatchObject({ mode: 'test' });
      expect((await account.publish()).matched).toBe(0);
      await system.ok('PATCH', pathOf(endpoint), { test: true });
      expect((await account.publish()).matched).toBe(1);
      const { data } = await system.ok<{ data: unknown[] }>(
        'GET',
        `${account.path}/audit-log?action=account.update`,
      );
      expect(data).toMatchObject([{ changes: { mode: { from: 'live', to: 'test' } } }]);
    });

    it('holds for endpoints with filters, whichever changes first', async () => {
      const filter = { data: { amount: { $gt: 1 } } };
      const live = await account.endpoint({ url: receiver.url, filter });
      await account.endpoint({ url: receiver.url, filter, test: true });
      const matched = async (amount: number) => (await account.publish({ data: { amount } })).matched;
      expect([await matched(2), await matched(1)]).toEqual([1, 0]);
      await system.ok('PATCH', account.path, { mode: 'test' });
      expect([await matched(2), await matched(1)]).toEqual([1, 0]);
      await system.ok('PATCH', pathOf(live), { test: true });
      expect([await matched(2), await matched(1)]).toEqual([2, 0]);
      await system.ok('PATCH', account.path, { mode: 'live' });
      expect(await matched(2)).toBe(0);
      await receiver.got(4);
      await until(
        () => account.deliveries('status=delivered'),
        (delivered) => delivered.length === 4,
      );
    });

    it('holds for a fan-out that is made after its commit', async () => {
      account = await inMode('test');
      await account.endpoint({ url: receiver.url, test: true });
      await system.sql(
        `INSERT INTO endpoints (id, account_id, url, timeout_ms, retry_schedule, paused, test)
          SELECT posthorn_uuid_v7(), account_id, url, 1000, '[]', true, n > 1 FROM endpoints, generate_series(1, 2200) n
          WHERE url = $1`,
        [receiver.url],
      );
      const event = await account.publish();
      expect(event.matched).toBe(2200);
      await receiver.got(1);
      const counts = await until(
        () =>
          system.sql<{ test: boolean; count: number }>(
            `SELECT d.test, count(*)::int AS count FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id
              WHERE e.url = $1 GROUP BY d.test`,
            [receiver.url],
          ),
        ([row]) => row?.count === 2200,
      );
      expect(counts).toEqual([{ test: true, count: 2200 }]);
    });
  });
});
