import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import type { EndpointCreated, EndpointShown } from '../../src/endpoints/endpoints.schema.js';
import type { NotificationShown } from '../../src/notifications/notifications.schema.js';
import type { VerificationShown } from '../../src/verification/verification.schema.js';
import { everywhere } from '../support/everywhere.js';
import { type Answering, type Received, Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

const ORIGIN = 'hooks.provider.example';

interface Envelope {
  type: string;
  data: { challenge?: string };
}
const envelope = ({ body }: Received) => JSON.parse(body) as Envelope;
const isEvent = (received: Received) => received.body !== '' && envelope(received).type === 'invoice.paid';

describe('the verification of an endpoint', () => {
  let system: System;
  let account: Account;
  let receiver: Receiver;
  let answer: Answering;

  beforeAll(async () => {
    system = await System.start({
      env: { POSTHORN_WEBHOOK_ORIGIN: ORIGIN, POSTHORN_PUBLIC_URL: 'https://provider.example/hooks/' },
    });
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    answer = (response) => response.end();
    receiver = await Receiver.start((...all) => answer(...all));
  });
  afterEach(() => receiver.stop());

  const pathOf = ({ id }: { id: string }) => `${account.path}/endpoints/${id}`;
  const read = (endpoint: { id: string }) => system.ok<EndpointShown>('GET', pathOf(endpoint));
  const state = (endpoint: { id: string }) =>
    system.ok<VerificationShown>('GET', `${pathOf(endpoint)}/verification`);
  const verify = (endpoint: { id: string }) =>
    system.call<VerificationShown>('POST', `${pathOf(endpoint)}/verify`);
  const active = (endpoint: { id: string }) =>
    until(
      () => read(endpoint),
      ({ status }) => status === 'active',
    );
  const repeatChallenge: Answering = (response, received) => {
    const { type, data } = envelope(received);
    response.end(type === 'url_verification' ? JSON.stringify({ challenge: data.challenge }) : '');
  };

  it('is not asked for unless the endpoint or the deployment says so', async () => {
    const endpoint = await account.endpoint({ url: receiver.url });
    expect(endpoint).toMatchObject({ verification: 'none', status: 'active' });
    expect(await state(endpoint)).toMatchObject({
      method: 'none',
      verified: true,
      verifiedAt: null,
      error: null,
    });
    expect((await verify(endpoint)).body).toMatchObject({ code: 'verification_not_asked' });
    expect(receiver.received).toEqual([]);
  });

  it('by challenge wants the random text of a signed event back, and then lets go what was held', async () => {
    answer = repeatChallenge;
    const endpoint = await account.endpoint({
      url: receiver.url,
      verification: 'challenge',
      headers: { 'x-own': 'a' },
    });
    expect(endpoint.status).toBe('pending_verification');
    const event = await account.publish();
    await active(endpoint);
    await account.deliveryOf(event, ({ status }) => status === 'delivered');
    const [asked] = receiver.received;
    if (!asked) throw new Error('nothing was asked');
    expect(envelope(asked)).toMatchObject({ type: 'url_verification', version: '1' });
    expect(envelope(asked).data.challenge).toMatch(/^[\w-]{32}$/);
    expect(asked.headers['x-own']).toBe('a');
    new Webhook(endpoint.signingSecret).verify(asked.body, asked.headers as Record<string, string>);
    expect(await state(endpoint)).toMatchObject({
      verified: true,
      attempts: 1,
      error: null,
      nextAttemptAt: null,
    });
  });

  it('by ping wants any 2xx', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, verification: 'ping' });
    await active(endpoint);
    expect(receiver.received.map((received) => envelope(received).type)).toEqual(['ping']);
  });

  it.each(['durable', 'express', 'auto'])(
    'holds deliveries in lane %s until it succeeds, and says why it failed',
    async (lane) => {
      answer = (response) => response.writeHead(403).end();
      const endpoint = await account.endpoint({ url: receiver.url, verification: 'ping', lane });
      const event = await account.publish();
      const held = await account.deliveryOf(event, ({ status }) => status === 'held');
      expect(held).toMatchObject({ statusReason: 'endpoint_unverified', attemptCount: 0 });
      const failed = await until(
        () => read(endpoint),
        ({ statusReason }) => statusReason !== null,
      );
      expect(failed).toMatchObject({ status: 'pending_verification', statusReason: 'http_403' });
      expect(await state(endpoint)).toMatchObject({
        verified: false,
        error: { code: 'http_403', detail: 'The receiver answered 403 instead of 2xx.' },
        nextAttemptAt: expect.any(String),
      });
      const refused = await system.call('POST', `${account.path}/deliveries/${held.id}/retry`);
      expect([refused.status, refused.body]).toMatchObject([409, { code: 'delivery_held' }]);
      answer = (response) => response.end();
      expect((await verify(endpoint)).body).toMatchObject({ verified: true, error: null });
      await account.deliveryOf(event, ({ status }) => status === 'delivered');
      expect(receiver.received.filter(isEvent)).toHaveLength(1);
    },
  );

  it('by challenge is not satisfied with anything but the challenge', async () => {
    answer = (response) => response.end('ok');
    const endpoint = await account.endpoint({ url: receiver.url, verification: 'challenge' });
    await until(
      () => read(endpoint),
      ({ statusReason }) => statusReason === 'challenge_not_repeated',
    );
  });

  it('by handshake wants leave by OPTIONS, takes over the rate, and names its origin with every delivery', async () => {
    answer = (response, _received, _count, request) => {
      if (request.method !== 'OPTIONS') return void response.end();
      response
        .writeHead(405, { 'webhook-allowed-origin': ORIGIN, 'webhook-allowed-rate': '120' })
        .end('not for people');
    };
    const endpoint = await account.endpoint({ url: receiver.url, verification: 'handshake' });
    expect((await active(endpoint)).rateLimit).toEqual({ perSecond: 2, burst: 1 });
    const event = await account.publish();
    await account.deliveryOf(event, ({ status }) => status === 'delivered');
    expect(receiver.received.map(({ headers }) => headers['webhook-request-origin'])).toEqual([
      ORIGIN,
      ORIGIN,
    ]);
    expect(receiver.received[0]?.headers['webhook-signature']).toBeUndefined();
  });

  it.each(['GET', 'POST'])(
    'by handshake takes leave later too, by %s on the link that it sent',
    async (method) => {
      const endpoint = await account.endpoint({ url: receiver.url, verification: 'handshake' });
      const [asked] = await until(
        () => receiver.received,
        (received) => received.length > 0,
      );
      const link = String(asked?.headers['webhook-request-callback']);
      expect(link).toMatch(/^https:\/\/provider\.example\/hooks\/v1\/handshakes\/[\w-]+$/);
      expect((await read(endpoint)).status).toBe('pending_verification');
      const call = (url: string) =>
        fetch(url.replace('https://provider.example/hooks', system.url), {
          method,
          headers: { 'webhook-allowed-rate': '60' },
        });
      expect((await call(`${link}x`)).status).toBe(404);
      expect((await call(link.slice(0, -4))).status).toBe(404);
      const granted = await call(link);
      expect([granted.status, await granted.json()]).toEqual([200, { status: 'granted' }]);
      expect((await active(endpoint)).rateLimit).toEqual({ perSecond: 1, burst: 1 });
      // It is for the address that was asked, and for no other.
      await system.ok('PATCH', pathOf(endpoint), { url: 'http://127.0.0.2:4433/' });
      expect((await call(link)).status).toBe(404);
    },
  );

  it('is asked for again when the host or the way changes, and not when the path does', async () => {
    const endpoint = await account.endpoint({ url: `${receiver.url}a`, verification: 'ping' });
    await active(endpoint);
    const elsewhere = await Receiver.answering(500);
    try {
      await system.ok('PATCH', pathOf(endpoint), { url: `${receiver.url}b` });
      expect((await read(endpoint)).status).toBe('active');
      await system.ok('PATCH', pathOf(endpoint), { url: elsewhere.url });
      expect((await read(endpoint)).status).toBe('pending_verification');
      const event = await account.publish();
      await account.deliveryOf(event, ({ status }) => status === 'held');
      await system.ok('PATCH', pathOf(endpoint), { url: receiver.url });
      await active(endpoint);
      await account.deliveryOf(event, ({ status }) => status === 'delivered');
      expect(elsewhere.received.some(isEvent)).toBe(false);
      answer = (response) => response.writeHead(500).end();
      await system.ok('PATCH', pathOf(endpoint), { verification: 'challenge' });
      expect((await read(endpoint)).status).toBe('pending_verification');
      const late = await account.publish();
      await account.deliveryOf(late, ({ status }) => status === 'held');
      answer = (response) => response.end();
      await system.ok('PATCH', pathOf(endpoint), { verification: 'none' });
      await account.deliveryOf(late, ({ status }) => status === 'delivered');
    } finally {
      await elsewhere.stop();
    }
  });

  it('holds what was open already', async () => {
    answer = (response) => response.writeHead(500).end();
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [3600] });
    const event = await account.publish();
    await account.deliveryOf(event, ({ status }) => status === 'retrying');
    await system.ok('PATCH', pathOf(endpoint), { verification: 'ping' });
    const { statusReason } = await account.deliveryOf(event, ({ status }) => status === 'held');
    expect(statusReason).toBe('endpoint_unverified');
  });

  it('is given up after a day, and its owner is told once', async () => {
    answer = (response) => response.writeHead(500).end();
    const endpoint: EndpointCreated = await account.endpoint({ url: receiver.url, verification: 'ping' });
    await until(
      () => state(endpoint),
      ({ attempts }) => attempts === 1,
    );
    await system.sql(
      `UPDATE endpoint_verifications v SET started_at = now() - interval '24 hours', review_at = now()
        FROM endpoints e WHERE e.id = v.endpoint_id AND e.url = $1`,
      [receiver.url],
    );
    // The workflow sleeps until its next try, ten seconds after the first.
    const { nextAttemptAt } = await until(
      () => state(endpoint),
      ({ attempts }) => attempts === 2,
    );
    expect(nextAttemptAt).toBeNull();
    const { data } = await system.ok<{ data: NotificationShown[] }>('GET', `${account.path}/notifications`);
    expect(data).toMatchObject([
      { kind: 'endpoint.verification_failed', endpointId: endpoint.id, data: { lastError: 'http_500' } },
    ]);
  });

  it('is refused by a way that the deployment or the plan does not allow', async () => {
    const strict = await System.start({ like: system, env: { POSTHORN_VERIFICATION: 'challenge,ping' } });
    try {
      const path = `${account.path}/endpoints`;
      const refused = await strict.call('POST', path, { url: receiver.url, verification: 'none' });
      expect([refused.status, refused.body]).toMatchObject([422, { errors: [{ pointer: '/verification' }] }]);
      const made = await strict.ok<EndpointCreated>('POST', path, { url: receiver.url });
      expect(made).toMatchObject({ verification: 'challenge', status: 'pending_verification' });
      await strict.ok('POST', '/plans', { name: 'sure', limits: { verification: ['ping', 'handshake'] } });
      await strict.ok('PATCH', account.path, { plan: 'sure' });
      await everywhere();
      expect(await strict.ok('POST', path, { url: receiver.url })).toMatchObject({ verification: 'ping' });
      const beyond = await strict.call('POST', path, { url: receiver.url, verification: 'challenge' });
      expect([beyond.status, beyond.body]).toMatchObject([
        422,
        { code: 'plan_limit_exceeded', limit: 'verification', plan: 'sure' },
      ]);
    } finally {
      await strict.stop();
    }
  });
});
