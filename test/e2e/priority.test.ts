import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { itInOneProcess } from '../support/one-process.js';
import { Receiver } from '../support/receiver.js';
import { System } from '../support/system.js';

describe('the priority of a delivery', () => {
  let system: System;

  beforeAll(async () => {
    system = await System.start({ env: { POSTHORN_ROLES: 'api' } });
    await system.ok('PUT', '/event-types/known.low', { priority: 'low' });
    await system.ok('PUT', '/event-types/known.none', {});
  });
  afterAll(() => system.stop());

  it.each([
    ['the event', { event: 'critical', endpoint: 'high', type: 'known.low' }, 'critical'],
    ['the event, the least urgent too', { event: 'low', endpoint: 'high', type: 'unknown' }, 'low'],
    ['the endpoint', { endpoint: 'high', type: 'known.low' }, 'high'],
    ['the event type', { type: 'known.low' }, 'low'],
    ['nobody, with a type that has none', { type: 'known.none' }, 'normal'],
    ['nobody', { type: 'unknown' }, 'normal'],
  ])('is what is said by %s', async (_, said, expected) => {
    const { event, endpoint, type } = said as { event?: string; endpoint?: string; type: string };
    const account = await system.account();
    await account.endpoint({ url: 'http://127.0.0.1:4433/', ...(endpoint ? { priority: endpoint } : {}) });
    const published = await account.publish({ type, ...(event ? { priority: event } : {}) });
    expect(await account.deliveryOf(published)).toMatchObject({ priority: expected });
  });
});

// In the lane express the order is the same queue's, but arrivals do not show it: what is taken together overtakes each
// other on its way. Nor do those of several processes: each has a part of the backlogs, and learns of the rates when it looks.
itInOneProcess('lets accounts with backlogs take turns, however many endpoints each has', async () => {
  const receiver = await Receiver.start();
  const system = await System.start({
    env: { POSTHORN_LANE: 'durable', POSTHORN_DISPATCH_CONCURRENCY: '1' },
  });
  const [early, late] = [await system.account(), await system.account()] as const;
  const backlogs = [
    { account: early, endpoints: 4, each: 20 },
    { account: late, endpoints: 1, each: 80 },
  ];
  for (const { account, endpoints } of backlogs) {
    for (let made = 0; made < endpoints; made += 1)
      await account.endpoint({
        url: receiver.url,
        maxInFlight: 1000,
        rateLimit: { perSecond: 0.01 },
        headers: { 'x-account': account.id },
      });
    // The one request that each endpoint's limit lets through; after it its pace is known.
    await account.publish();
  }
  await receiver.got(5);
  for (const { account, each } of backlogs) {
    const events = Array.from({ length: each }, (_, data) => ({ type: 'a.b', data }));
    await system.ok('POST', `${account.path}/events/batch`, { events });
  }
  // All at once, which takes more than one request to the API.
  await system.sql('UPDATE endpoints SET rate_per_second = NULL, rate_burst = NULL');
  const arrived = (await receiver.got(5 + 160)).slice(5);
  const ofLate = arrived.slice(0, 80).filter(({ headers }) => headers['x-account'] === late.id).length;
  // Half of them; none if each waited for those before it, a fifth if endpoints took turns.
  expect(ofLate).toBeGreaterThan(80 / 3);
  expect(ofLate).toBeLessThan((2 * 80) / 3);
  await system.stop();
  await receiver.stop();
});
