import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { fromId } from '../../src/common/ids.js';
import { LANES } from '../../src/common/lane.js';
import { Gate } from '../support/gate.js';
import { Receiver } from '../support/receiver.js';
import { isCluster } from '../support/shape.js';
import { Account, System } from '../support/system.js';
import { until } from '../support/until.js';
import { withoutWorker } from '../support/without-worker.js';

/** One attempt in a hundred seconds: whatever waits for it waits for longer than any test. */
const HARDLY_ANY = { perSecond: 0.01, burst: 1 };

/** Of both systems; without a cluster what one of them publishes stays in its hands. */
const WORKERS = isCluster() ? 4 : 1;

describe.each(LANES)("an endpoint's own pace in the lane %s", (lane) => {
  let first: System;
  let second: System;
  let account: Account;
  /** The same account, as the other process has it. */
  let elsewhere: Account;
  let receiver: Receiver;
  let healthy: Receiver;

  beforeAll(async () => {
    first = await System.start({ env: { POSTHORN_LANE: lane } });
    second = await System.start({ like: first });
  });
  afterAll(async () => {
    await second.stop();
    await first.stop();
  });
  beforeEach(async () => {
    account = await first.account();
    elsewhere = new Account(second, account.id);
    receiver = await Receiver.start();
    healthy = await Receiver.start();
  });
  afterEach(() => Promise.all([receiver.stop(), healthy.stop()]));

  const publish = async (count: number, by: Account[] = [account]) => {
    const events = await Promise.all(
      Array.from({ length: count }, (_, index) => (by[index % by.length] ?? account).publish()),
    );
    return events.map(({ id }) => id);
  };
  const change = (by: Account, endpoint: { id: string }, body: Record<string, unknown>) =>
    by.system.ok('PATCH', `${by.path}/endpoints/${endpoint.id}`, body);
  const ids = () => receiver.received.map(({ headers }) => headers['webhook-id'] as string);
  /** Resolves when an event that was published after all others has come to an endpoint without limits. */
  const othersAreServed = async () => {
    await account.endpoint({ url: healthy.url, eventTypes: ['other.one'] });
    await account.publish({ type: 'other.one' });
    await elsewhere.publish({ type: 'other.one' });
    await healthy.got(2);
  };

  /** A delivery whose first attempt fails, and whose second waits for the rate. */
  const waitingForTheRate = async () => {
    receiver.answers((response, _received, count) => response.writeHead(count === 1 ? 500 : 200).end());
    const endpoint = await account.endpoint({
      url: receiver.url,
      rateLimit: HARDLY_ANY,
      retrySchedule: [0.05, 3600],
    });
    const event = await account.publish();
    const [row] = await until(
      () =>
        first.sql<{ waits: boolean }>(
          `SELECT next_attempt_at > created_at + interval '50 seconds' AS waits FROM deliveries
            WHERE paced AND event_id = $1`,
          [fromId('event', event.id)],
        ),
      (rows) => rows.length > 0,
    );
    expect(row?.waits).toBe(true);
    return { endpoint, event };
  };

  it('is kept by two processes together: no window has more than the burst and what the rate adds', async () => {
    const rateLimit = { perSecond: 20, burst: 5 };
    await account.endpoint({ url: receiver.url, eventTypes: ['invoice.paid'], rateLimit });
    const published = await publish(80, [account, elsewhere]);
    await receiver.got(80);
    expect(ids().sort()).toEqual(published.sort());
    // An attempt may be sent some time after the moment that is its own, and the next one in time again.
    const LATE_S = 1;
    const times = receiver.received.map(({ atMs }) => atMs).sort((a, b) => a - b);
    const excess = times.flatMap((from, begin) =>
      times
        .slice(begin)
        .map(
          (to, index) => index + 1 - rateLimit.burst - ((to - from) / 1000 + LATE_S) * rateLimit.perSecond,
        ),
    );
    expect(Math.max(...excess)).toBeLessThanOrEqual(0);
  });

  it('has no more attempts under way than it may, from the very first event on', async () => {
    const gate = new Gate();
    receiver.answers(gate.answer);
    await account.endpoint({ url: receiver.url, eventTypes: ['invoice.paid'], maxInFlight: 3 });
    const events = Array.from({ length: 12 }, (_, index) => ({ type: 'invoice.paid', data: index }));
    await first.ok('POST', `${account.path}/events/batch`, { events });
    for (let arrived = 3; arrived <= 12; arrived += 1) {
      await receiver.got(arrived);
      if (arrived === 3) await othersAreServed();
      gate.letOneGo();
    }
    // Of each worker that got any.
    expect(gate.most).toBeLessThanOrEqual(3 * WORKERS);
    gate.open();
    await until(
      () => account.deliveries('status=delivered&eventType=invoice.paid'),
      (delivered) => delivered.length === 12,
    );
    expect(receiver.received).toHaveLength(12);
  });

  it.each([
    ['raised', { rateLimit: { perSecond: 200, burst: 10 } }],
    ['removed', { rateLimit: null }],
  ])('that is %s in one process applies to what waits already in every one', async (_, body) => {
    const endpoint = await account.endpoint({
      url: receiver.url,
      eventTypes: ['invoice.paid'],
      rateLimit: HARDLY_ANY,
    });
    const published = await publish(10, [account, elsewhere]);
    await receiver.got(1);
    await othersAreServed();
    expect(receiver.received).toHaveLength(1);
    await change(elsewhere, endpoint, body);
    await receiver.got(10);
    await until(
      () => account.deliveries('status=delivered&eventType=invoice.paid'),
      (delivered) => delivered.length === 10,
    );
    expect(ids().sort()).toEqual(published.sort());
  });

  it('holds retries too, which wait as long as it takes and go on when it allows', async () => {
    const { endpoint, event } = await waitingForTheRate();
    expect(await account.deliveryOf(event)).toMatchObject({ status: 'retrying', attemptCount: 1 });
    expect(receiver.received).toHaveLength(1);
    await change(account, endpoint, { rateLimit: null });
    const delivered = await account.deliveryOf(event, ({ status }) => status === 'delivered');
    expect(delivered.attemptCount).toBe(2);
  });

  it('that is changed while the endpoint is paused applies to what waited before', async () => {
    const { endpoint, event } = await waitingForTheRate();
    await change(account, endpoint, { paused: true });
    await change(elsewhere, endpoint, { rateLimit: null });
    await change(account, endpoint, { paused: false });
    await account.deliveryOf(event, ({ status }) => status === 'delivered');
    expect(receiver.received).toHaveLength(2);
  });

  it('is forgotten when the endpoint is disabled and enabled again, with all that was reserved', async () => {
    receiver.answers((response, _received, count) => response.writeHead(count === 1 ? 410 : 200).end());
    const endpoint = await account.endpoint({ url: receiver.url, rateLimit: { perSecond: 5 } });
    const gone = await account.publish();
    await account.deliveryOf(gone, ({ status }) => status === 'failed');
    // As if thousands had waited for it.
    await first.sql(`UPDATE endpoint_pace SET free_at = now() + interval '1 hour' WHERE endpoint_id = $1`, [
      fromId('endpoint', endpoint.id),
    ]);
    await change(account, endpoint, { status: 'active' });
    const event = await account.publish();
    await account.deliveryOf(event, ({ status }) => status === 'delivered');
  });

  it('includes the quiet that the receiver asked of another process', async () => {
    receiver.answers((response) => response.writeHead(429, { 'retry-after': '3600' }).end());
    await account.endpoint({ url: receiver.url, eventTypes: ['invoice.paid'], retrySchedule: [0.05] });
    const event = await account.publish();
    await account.deliveryOf(event, ({ status }) => status === 'retrying');
    const later = await elsewhere.publish();
    await othersAreServed();
    expect(await account.deliveryOf(later)).toMatchObject({ status: 'pending', attemptCount: 0 });
    expect(ids()).toEqual([event.id]);
  });
});

describe('a delivery that is to wait for a moment that was reserved for it', () => {
  const world = withoutWorker();
  let account: Account;
  beforeAll(async () => {
    account = await world.system.account();
  });

  const HOUR_MS = 3_600_000;
  const waiting = async (free: string) => {
    const endpoint = await account.endpoint({ url: 'http://127.0.0.1:4433/', rateLimit: HARDLY_ANY });
    const delivery = await account.deliveryOf(await account.publish(), () => true, endpoint);
    await world.system.sql(`INSERT INTO endpoint_pace (endpoint_id, free_at) VALUES ($1, ${free})`, [
      fromId('endpoint', endpoint.id),
    ]);
    return fromId('delivery', delivery.id) ?? '';
  };
  const isPaced = async (id: string) =>
    (await world.system.sql<{ paced: boolean }>('SELECT paced FROM deliveries WHERE id = $1', [id]))[0]
      ?.paced;

  it('does so while the reservation stands', async () => {
    const id = await waiting(`now() + interval '70 minutes'`);
    expect(await world.loader.defer(id, HOUR_MS, true)).toBe(true);
    expect(await isPaced(id)).toBe(true);
  });

  it.each([
    ['forgotten', 'NULL'],
    ['replaced by others at a higher rate', `now() + interval '1 minute'`],
  ])('must ask again when the reservations were %s meanwhile', async (_, free) => {
    const id = await waiting(free);
    expect(await world.loader.defer(id, HOUR_MS, true)).toBe(false);
    expect(await isPaced(id)).toBe(false);
  });

  it('waits for room or for quiet whatever was reserved', async () => {
    const id = await waiting('NULL');
    expect(await world.loader.defer(id, HOUR_MS, false)).toBe(true);
    expect(await isPaced(id)).toBe(true);
  });
});
