import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { EndpointCreated } from '../../src/endpoints/endpoints.schema.js';
import { itInOneProcess } from '../support/one-process.js';
import { type Answering, Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';
import { TokenServer } from '../support/token-server.js';

describe('deliveries with an OAuth 2.0 access token', () => {
  let system: System;
  let account: Account;
  let receiver: Receiver;
  let tokens: TokenServer;

  const oauth2 = (more: Record<string, unknown> = {}) => ({
    type: 'oauth2',
    tokenUrl: tokens.url,
    clientId: 'post horn',
    clientSecret: 'client:secret',
    ...more,
  });
  const endpoint = (
    auth: Record<string, unknown> = {},
    more: Record<string, unknown> = {},
  ): Promise<EndpointCreated> => account.endpoint({ url: receiver.url, auth: oauth2(auth), ...more });
  const next = () => receiver.next(() => account.publish());
  /** What the only attempt of an event came to. */
  async function attemptOf(event: { id: string }) {
    const { id } = await account.deliveryOf(event, ({ attemptCount }) => attemptCount > 0);
    const { attempts, status, statusReason } = await account.delivery(id);
    return { ...attempts[0], attempts: attempts.length, status, statusReason };
  }

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    receiver = await Receiver.start();
    tokens = await TokenServer.start();
  });
  afterEach(async () => {
    await receiver.stop();
    await tokens.stop();
  });

  // Each process has its own token, so these count right where one sends everything.
  itInOneProcess('ask for it once, as RFC 6749 says', async () => {
    await endpoint({ scope: 'hooks.write', audience: 'https://api.example.com' });
    for (let count = 0; count < 3; count += 1) {
      expect((await next()).headers.authorization).toBe(`Bearer ${tokens.token(1)}`);
    }
    expect(tokens.asked).toHaveLength(1);
    const [asked] = tokens.asked;
    const pair = Buffer.from(
      String(asked?.headers.authorization).slice('Basic '.length),
      'base64',
    ).toString();
    expect(pair).toBe('post+horn:client%3Asecret');
    expect(Object.fromEntries(new URLSearchParams(asked?.body))).toEqual({
      grant_type: 'client_credentials',
      scope: 'hooks.write',
      audience: 'https://api.example.com',
    });
  });

  itInOneProcess('ask for it once when many begin together', async () => {
    await endpoint({ clientAuthentication: 'post' });
    await Promise.all(Array.from({ length: 20 }, () => account.publish()));
    const received = await receiver.got(20);
    expect(new Set(received.map(({ headers }) => headers.authorization))).toEqual(
      new Set([`Bearer ${tokens.token(1)}`]),
    );
    expect(tokens.asked).toHaveLength(1);
    expect(Object.fromEntries(new URLSearchParams(tokens.asked[0]?.body))).toMatchObject({
      client_id: 'post horn',
      client_secret: 'client:secret',
    });
  });

  it.each(['durable', 'express'])(
    'renew it once on a 401 and send again in the same attempt, in the lane %s',
    async (lane) => {
      await endpoint({}, { lane });
      receiver.answers((response, { headers }) => {
        const isGood = headers.authorization === `Bearer ${tokens.token(2)}`;
        response.writeHead(isGood ? 200 : 401).end(headers.authorization);
      });
      const event = await account.publish();
      const delivery = await account.deliveryOf(event, ({ status }) => status === 'delivered');
      expect(delivery.attemptCount).toBe(1);
      expect(receiver.received.map(({ headers }) => [headers.authorization, headers['webhook-id']])).toEqual([
        [`Bearer ${tokens.token(1)}`, event.id],
        [`Bearer ${tokens.token(2)}`, event.id],
      ]);
      expect(await attemptOf(event)).toMatchObject({ attempts: 1, statusCode: 200, outcome: 'delivered' });
    },
  );

  it('renew it no oftener than once an attempt', async () => {
    await endpoint({}, { retrySchedule: [] });
    receiver.answers((response) => response.writeHead(401).end());
    const event = await account.publish();
    expect(await attemptOf(event)).toMatchObject({ statusCode: 401, outcome: 'permanent', status: 'failed' });
    expect(receiver.received).toHaveLength(2);
    expect(tokens.asked).toHaveLength(2);
  });

  itInOneProcess('ask for another when the endpoint’s auth is changed', async () => {
    const { id } = await endpoint();
    expect((await next()).headers.authorization).toBe(`Bearer ${tokens.token(1)}`);
    await system.ok('PATCH', `${account.path}/endpoints/${id}`, { auth: oauth2({ clientSecret: 'other' }) });
    expect((await next()).headers.authorization).toBe(`Bearer ${tokens.token(2)}`);
    expect(String(tokens.asked[1]?.headers.authorization)).toBe(
      `Basic ${Buffer.from('post+horn:other').toString('base64')}`,
    );
  });

  const answering =
    (status: number, body = ''): Answering =>
    (response) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(body);

  it.each<[string, Answering, string, string]>([
    ['hangs', () => undefined, 'oauth2_token_unavailable', 'transient'],
    ['answers 500', answering(500), 'oauth2_token_unavailable', 'transient'],
    ['answers 503', answering(503, '{"error":"busy"}'), 'oauth2_token_unavailable', 'transient'],
    ['hangs up', (response) => response.destroy(), 'oauth2_token_unavailable', 'transient'],
    ['answers garbage', answering(200, '<html>hello</html>'), 'oauth2_token_malformed', 'transient'],
    ['answers 10 MB', answering(200, 'x'.repeat(10_000_000)), 'oauth2_token_malformed', 'transient'],
    ['redirects', answering(302), 'oauth2_token_malformed', 'transient'],
    [
      'knows no such client',
      answering(401, '{"error":"invalid_client"}'),
      'oauth2_token_refused',
      'permanent',
    ],
    [
      'grants no such scope',
      answering(400, '{"error":"invalid_scope"}'),
      'oauth2_token_refused',
      'permanent',
    ],
  ])('fail where the token server %s, and nothing is sent', async (_what, answer, errorCode, outcome) => {
    tokens.answers(answer);
    await endpoint({}, { timeoutMs: 1000, retrySchedule: [] });
    const attempt = await attemptOf(await account.publish());
    expect(attempt).toMatchObject({ errorCode, outcome, status: 'failed' });
    expect(receiver.received).toHaveLength(0);
  });

  it('fail where nobody listens at the token URL', async () => {
    const gone = await Receiver.start();
    await endpoint({ tokenUrl: gone.url }, { retrySchedule: [] });
    await gone.stop();
    expect(await attemptOf(await account.publish())).toMatchObject({
      errorCode: 'oauth2_token_unavailable',
      errorDetail: expect.stringContaining('connect_refused'),
    });
  });

  it('are delivered by a later attempt once the token server is back', async () => {
    tokens.answers((response, _received, count) => {
      if (count === 1) response.writeHead(500).end();
      else response.end('{"access_token":"late-token","token_type":"Bearer"}');
    });
    await endpoint({}, { retrySchedule: [0.1] });
    const event = await account.publish();
    const delivery = await account.deliveryOf(event, ({ status }) => status === 'delivered');
    expect(delivery.attemptCount).toBe(2);
    expect(receiver.received[0]?.headers.authorization).toBe('Bearer late-token');
  });
});
