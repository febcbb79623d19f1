import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';

describe('what a receiver answers', () => {
  let system: System;
  let account: Account;
  const receivers: Receiver[] = [];
  const use = (receiver: Receiver) => {
    receivers.push(receiver);
    return receiver;
  };

  beforeAll(async () => {
    system = await System.start();
    account = await system.account();
  });
  afterAll(() => system.stop());
  afterEach(async () => {
    await Promise.all(receivers.splice(0).map((each) => each.stop()));
  });

  /** Publishes one event to one endpoint and reads the delivery once it has ended. */
  const deliver = async (url: string, endpoint: Record<string, unknown> = {}) => {
    const type = `t${receivers.length}.${Math.random().toString(36).slice(2)}`;
    await account.endpoint({ url, eventTypes: [type], retrySchedule: [0.05, 0.05, 0.05, 0.05], ...endpoint });
    const event = await account.publish({ type });
    const { id } = await account.deliveryOf(
      event,
      ({ status }) => status !== 'pending' && status !== 'retrying',
    );
    return account.delivery(id);
  };

  it.each([500, 502, 503, 408, 425, 429])('goes through the whole schedule at %i', async (status) => {
    const delivery = await deliver(use(await Receiver.answering(status)).url);
    expect(delivery).toMatchObject({
      status: 'failed',
      statusReason: 'exhausted',
      attemptCount: 5,
      nextAttemptAt: null,
    });
    expect(new Set(delivery.attempts.map(({ statusCode }) => statusCode))).toEqual(new Set([status]));
    expect(delivery.attempts.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5]);
  });

  it.each([400, 401, 404, 422])('gives up after three attempts at %i', async (status) => {
    const delivery = await deliver(use(await Receiver.answering(status)).url);
    expect(delivery).toMatchObject({ status: 'failed', statusReason: 'permanent', attemptCount: 3 });
    expect(delivery.attempts.map(({ outcome }) => outcome)).toEqual(['permanent', 'permanent', 'permanent']);
  });

  it('never follows a redirect', async () => {
    const target = use(await Receiver.start());
    const delivery = await deliver(use(await Receiver.answering(301, { location: target.url })).url);
    expect(delivery).toMatchObject({ status: 'failed', statusReason: 'permanent', attemptCount: 3 });
    expect(delivery.attempts[0]).toMatchObject({ outcome: 'refused', statusCode: 301 });
    expect(target.received).toEqual([]);
  });

  it('disables the endpoint at 410 and skips what comes after', async () => {
    const receiver = use(await Receiver.answering(410));
    const endpoint = await account.endpoint({ url: receiver.url, eventTypes: ['gone.*'] });
    const event = await account.publish({ type: 'gone.one' });
    const first = await account.deliveryOf(event, ({ status }) => status === 'failed');
    expect(first).toMatchObject({ statusReason: 'gone', attemptCount: 1 });
    const shown = await system.ok('GET', `${account.path}/endpoints/${endpoint.id}`);
    expect(shown).toMatchObject({ status: 'disabled', statusReason: 'gone' });
    const later = await account.deliveryOf(await account.publish({ type: 'gone.two' }));
    expect(later).toMatchObject({ status: 'skipped', statusReason: 'endpoint_disabled', attemptCount: 0 });
    expect((await system.call('POST', `${account.path}/deliveries/${later.id}/retry`)).body.code).toBe(
      'endpoint_disabled',
    );
    receiver.answers((response) => response.end());
    await system.ok('PATCH', `${account.path}/endpoints/${endpoint.id}`, { status: 'active' });
    await system.ok('POST', `${account.path}/deliveries/${later.id}/retry`);
    await account.deliveryOf({ id: later.eventId ?? '' }, ({ status }) => status === 'delivered');
    expect(receiver.received).toHaveLength(2);
  });

  it('skips the open deliveries of an endpoint that says 410', async () => {
    const receiver = use(await Receiver.answering(500));
    await account.endpoint({ url: receiver.url, eventTypes: ['going.*'], retrySchedule: [3600] });
    const waiting = await account.publish({ type: 'going.one' });
    await account.deliveryOf(waiting, ({ status }) => status === 'retrying');
    receiver.answers((response) => response.writeHead(410).end());
    await account.publish({ type: 'going.two' });
    const skipped = await account.deliveryOf(waiting, ({ status }) => status === 'skipped');
    expect(skipped).toMatchObject({
      statusReason: 'endpoint_disabled',
      nextAttemptAt: null,
      attemptCount: 1,
    });
  });

  it('obeys webhook-delivery: abort-message for this event alone', async () => {
    const delivery = await deliver(
      use(await Receiver.answering(500, { 'webhook-delivery': 'abort-message' })).url,
    );
    expect(delivery).toMatchObject({ status: 'failed', statusReason: 'aborted', attemptCount: 1 });
  });

  it('obeys webhook-delivery: disable', async () => {
    const delivery = await deliver(use(await Receiver.answering(500, { 'webhook-delivery': 'disable' })).url);
    expect(delivery).toMatchObject({ status: 'failed', statusReason: 'gone', attemptCount: 1 });
  });

  it('waits as long as Retry-After asks', async () => {
    const receiver = use(
      await Receiver.start((response, _received, count) => {
        if (count === 1) response.writeHead(429, { 'retry-after': '2' });
        response.end();
      }),
    );
    const delivery = await deliver(receiver.url);
    expect(delivery).toMatchObject({ status: 'delivered', attemptCount: 2 });
    expect(delivery.attempts[0]?.outcome).toBe('throttled');
    const [first, second] = receiver.received;
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(2000);
  });

  it('records a refused connection, and delivers once the receiver is back', async () => {
    const gone = await Receiver.start();
    const { url } = gone;
    await gone.stop();
    const delivery = await deliver(url);
    expect(delivery).toMatchObject({ status: 'failed', statusReason: 'exhausted', attemptCount: 5 });
    expect(delivery.attempts[0]).toMatchObject({
      outcome: 'transient',
      errorCode: 'connect_refused',
      response: null,
    });
    expect(delivery.attempts[0]).not.toHaveProperty('statusCode');
  });

  it('gives a receiver that hangs one deadline and no more', async () => {
    const receiver = use(await Receiver.start(() => undefined));
    const delivery = await deliver(receiver.url, { timeoutMs: 1000, retrySchedule: [] });
    expect(delivery).toMatchObject({ status: 'failed', statusReason: 'exhausted', attemptCount: 1 });
    expect(delivery.attempts[0]).toMatchObject({ outcome: 'transient', errorCode: 'response_timeout' });
  });

  it('does not take a body that never ends for a delivery', async () => {
    const receiver = use(
      await Receiver.start((response) => {
        response.writeHead(200);
        const drip = setInterval(() => response.write('.'), 50);
        response.on('close', () => clearInterval(drip));
      }),
    );
    const delivery = await deliver(receiver.url, { timeoutMs: 1000, retrySchedule: [] });
    expect(delivery).toMatchObject({ status: 'failed', attemptCount: 1 });
    expect(delivery.attempts[0]).toMatchObject({ statusCode: 200, errorCode: 'response_body_timeout' });
  });

  it('keeps 16 KiB of a large answer, and what is no text in base64', async () => {
    const large = await deliver(
      use(await Receiver.start((response) => response.end('x'.repeat(100_000)))).url,
    );
    expect(large).toMatchObject({ status: 'delivered' });
    expect(large.attempts[0]?.response).toMatchObject({ truncated: true, bodyEncoding: 'utf8' });
    expect(large.attempts[0]?.response?.body).toHaveLength(16 * 1024);
    const binary = Buffer.from([0, 255, 1, 254]);
    const odd = await deliver(use(await Receiver.start((response) => response.end(binary))).url);
    expect(odd.attempts[0]?.response).toMatchObject({
      bodyEncoding: 'base64',
      body: binary.toString('base64'),
    });
  });

  it('masks credentials in what it shows of requests and answers', async () => {
    const receiver = use(await Receiver.answering(200, { 'set-cookie': 'session=abc' }));
    const delivery = await deliver(receiver.url, {
      headers: { Authorization: 'Bearer s3cret', 'x-tenant': 'seven' },
    });
    expect(receiver.received[0]?.headers.authorization).toBe('Bearer s3cret');
    expect(delivery.attempts[0]?.request?.headers).toMatchObject({
      authorization: '***',
      'x-tenant': 'seven',
    });
    expect(delivery.attempts[0]?.response?.headers['set-cookie']).toBe('***');
    expect(JSON.stringify(delivery)).not.toContain('s3cret');
  });

  it('does not send to a name that has become private since, and does not retry', async () => {
    const endpoint = await account.endpoint({
      url: 'http://127.0.0.1:4433/',
      eventTypes: ['turned.*'],
      retrySchedule: [1],
    });
    // The check at creation passed; the same address is outside the allowed networks of a process that starts later.
    await system.sql(
      'UPDATE endpoints SET url = $2 WHERE id = (SELECT id FROM endpoints ORDER BY id DESC LIMIT 1) AND url = $1',
      [endpoint.url, 'https://10.1.2.3/hook'],
    );
    const event = await account.publish({ type: 'turned.private' });
    const delivery = await account.deliveryOf(event, ({ status }) => status === 'failed');
    expect(delivery).toMatchObject({ statusReason: 'blocked', attemptCount: 1 });
    const [attempt] = (await account.delivery(delivery.id)).attempts;
    expect(attempt).toMatchObject({ outcome: 'blocked', errorCode: 'address_refused' });
  });
});
