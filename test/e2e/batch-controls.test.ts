import { describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { eachCollecting, numbersIn } from '../support/batches.js';
import { until } from '../support/until.js';

describe('what people do with events that are sent together', () => {
  const world = eachCollecting({
    POSTHORN_CIRCUIT_SECONDS: '0',
    POSTHORN_CIRCUIT_FAILURES: '20',
    POSTHORN_CIRCUIT_PROBE_SECONDS: '600',
  });

  const pathOf = ({ id }: { id: string }) => `${world.account.path}/endpoints/${id}`;

  it('shows what is collected as pending, until when, and finds it so', async () => {
    await world.collecting.endpoint({ maxEvents: 10 });
    const event = await world.collecting.publish(1);
    const item = await world.account.deliveryOf(event, ({ nextAttemptAt }) => nextAttemptAt !== null);
    expect(item).toMatchObject({ status: 'pending', statusReason: null, batchId: null, batch: null });
    expect(Date.parse(item.nextAttemptAt ?? '') - Date.parse(item.createdAt)).toBe(3_600_000);
    expect((await world.account.deliveries('status=pending')).map(({ id }) => id)).toEqual([item.id]);
    expect(await world.account.deliveries('status=held')).toEqual([]);
    expect(await world.account.delivery(item.id)).toMatchObject({
      status: 'pending',
      attempts: [],
      live: false,
    });
  });

  it('lists what a batch carries', async () => {
    await world.collecting.endpoint({ maxEvents: 2 });
    const events = [await world.collecting.publish(1), await world.collecting.publish(2)];
    await world.collecting.publish(3);
    const { id } = await world.collecting.batchOf(events[0] ?? { id: '' });
    const carried = await world.account.deliveries(`batchId=${id}`);
    expect(carried.map(({ eventId }) => eventId).toSorted()).toEqual(
      events.map((event) => event.id).toSorted(),
    );
    expect(
      (await world.system.call('GET', `${world.account.path}/deliveries?batchId=${events[0]?.id ?? ''}`))
        .status,
    ).toBe(404);
  });

  it('holds batches of a paused endpoint and sends them when it is resumed', async () => {
    const endpoint = await world.collecting.endpoint({ maxEvents: 2 }, { paused: true });
    const events = [
      await world.collecting.publish(1),
      await world.collecting.publish(2),
      await world.collecting.publish(3),
    ];
    await world.collecting.batchOf(events[0] ?? { id: '' });
    const held = await until(
      () => world.account.deliveries('status=held'),
      ({ length }) => length === 4,
    );
    expect(new Set(held.map(({ statusReason }) => statusReason))).toEqual(new Set(['endpoint_paused']));
    expect(world.receiver.received).toHaveLength(0);
    await world.collecting.change(endpoint, { paused: false });
    const [received] = await world.receiver.got(1);
    expect(received && numbersIn(received)).toEqual([1, 2]);
    await world.collecting.item(events[0] ?? { id: '' }, 'delivered');
    expect(await world.account.deliveries('status=pending')).toHaveLength(1);
  });

  it('holds a batch that is under way when its endpoint is paused', async () => {
    world.receiver.answers((response) => response.writeHead(503).end());
    const endpoint = await world.collecting.endpoint({ maxEvents: 1 }, { retrySchedule: [3_600] });
    const event = await world.collecting.publish(1);
    await world.collecting.item(event, 'retrying');
    await world.collecting.change(endpoint, { paused: true });
    expect(await world.collecting.item(event, 'held')).toMatchObject({ statusReason: 'endpoint_paused' });
    await world.collecting.change(endpoint, { paused: false });
    await world.collecting.item(event, 'retrying');
  });

  it('skips what is collected and what is under way when the endpoint is disabled, and sends it by hand once it is not', async () => {
    world.receiver.answers((response) => response.writeHead(503).end());
    const endpoint = await world.collecting.endpoint({ maxEvents: 2 }, { retrySchedule: [3_600] });
    const [one] = [await world.collecting.publish(1), await world.collecting.publish(2)];
    const first = await world.collecting.batchOf(one, ({ status }) => status === 'retrying');
    const [three, four] = [await world.collecting.publish(3), await world.collecting.publish(4)];
    const second = await world.collecting.batchOf(three, ({ status }) => status === 'retrying');
    const collected = await world.collecting.publish(5);
    world.receiver.answers((response) => response.writeHead(410).end());
    await world.collecting.act(first, 'retry');
    for (const event of [three, four, collected])
      expect(await world.collecting.item(event, 'skipped')).toMatchObject({
        statusReason: 'endpoint_disabled',
      });
    await world.collecting.change(endpoint, { status: 'active' });
    world.receiver.answers((response) => response.end());
    const together = await world.receiver.next(() => world.collecting.act(second, 'retry'));
    expect(numbersIn(together)).toEqual([3, 4]);
    await world.collecting.item(three, 'delivered');
    const alone = await world.receiver.next(async () =>
      world.collecting.act(await world.account.deliveryOf(collected), 'retry'),
    );
    expect([numbersIn(alone), alone.headers['webhook-id']]).toEqual([[5], collected.id]);
    expect(await world.collecting.item(collected, 'delivered')).toMatchObject({ batchId: null });
  });

  it('skips the whole when its answer disables the endpoint', async () => {
    world.receiver.answers((response) => response.writeHead(410).end());
    await world.collecting.endpoint({ maxEvents: 2 });
    const [first, second] = [await world.collecting.publish(1), await world.collecting.publish(2)];
    for (const event of [first, second])
      expect(await world.collecting.item(event, 'failed')).toMatchObject({ statusReason: 'gone' });
    const later = await world.collecting.publish(3);
    expect(await world.account.deliveryOf(later)).toMatchObject({
      status: 'skipped',
      statusReason: 'endpoint_disabled',
    });
  });

  it('cancels what is collected and what is under way when the endpoint is deleted', async () => {
    world.receiver.answers((response) => response.writeHead(503).end());
    const endpoint = await world.collecting.endpoint({ maxEvents: 2 }, { retrySchedule: [3_600] });
    const under = [await world.collecting.publish(1), await world.collecting.publish(2)];
    await world.collecting.item(under[0] ?? { id: '' }, 'retrying');
    const collected = await world.collecting.publish(3);
    await world.system.ok('DELETE', pathOf(endpoint));
    for (const event of [...under, collected])
      expect(await world.collecting.item(event, 'cancelled')).toMatchObject({
        statusReason: 'endpoint_deleted',
      });
    expect(await world.collecting.batchOf(under[0] ?? { id: '' })).toMatchObject({ status: 'cancelled' });
  });

  it('signs by the secrets of the moment when it is sent', async () => {
    const endpoint = await world.collecting.endpoint({ maxEvents: 2 });
    await world.collecting.publish(1);
    const { secret } = await world.system.ok<{ secret: string }>(
      'POST',
      `${pathOf(endpoint)}/secret/rotate`,
      {
        overlapSeconds: 0,
      },
    );
    const { body, headers } = await world.receiver.next(() => world.collecting.publish(2));
    new Webhook(secret).verify(body, headers as Record<string, string>);
    expect(() =>
      new Webhook(endpoint.signingSecret).verify(body, headers as Record<string, string>),
    ).toThrow();
  });

  it('sends what is collected at once when it is to be collected otherwise, and what comes then as it is to be', async () => {
    const endpoint = await world.collecting.endpoint({ maxEvents: 10 });
    const first = await world.collecting.publish(1);
    await world.account.deliveryOf(first, ({ nextAttemptAt }) => nextAttemptAt !== null);
    const changed = await world.receiver.next(() =>
      world.collecting.change(endpoint, { batch: { maxEvents: 2 } }),
    );
    expect(numbersIn(changed)).toEqual([1]);
    await world.account.deliveryOf(
      await world.collecting.publish(2),
      ({ nextAttemptAt }) => nextAttemptAt !== null,
    );
    const removed = await world.receiver.next(() => world.collecting.change(endpoint, { batch: null }));
    expect(numbersIn(removed)).toEqual([2]);
    const alone = await world.receiver.next(() => world.collecting.publish(3));
    expect(JSON.parse(alone.body)).toMatchObject({ data: { n: 3 } });
  });

  it('closes the window when one that is collected is retried by hand', async () => {
    await world.collecting.endpoint({ maxEvents: 10 });
    const events = [await world.collecting.publish(1), await world.collecting.publish(2)];
    const item = await world.account.deliveryOf(events[0] ?? { id: '' });
    const received = await world.receiver.next(() => world.collecting.act(item, 'retry'));
    expect(numbersIn(received)).toEqual([1, 2]);
  });

  it('sends the whole batch again when one of it is retried by hand', async () => {
    world.receiver.answers((response, _received, count) => response.writeHead(count === 1 ? 503 : 200).end());
    await world.collecting.endpoint({ maxEvents: 2 }, { retrySchedule: [3_600] });
    const events = [await world.collecting.publish(1), await world.collecting.publish(2)];
    const item = await world.collecting.item(events[1] ?? { id: '' }, 'retrying');
    const received = await world.receiver.next(() => world.collecting.act(item, 'retry'));
    expect(numbersIn(received)).toEqual([1, 2]);
    for (const event of events) await world.collecting.item(event, 'delivered');
  });

  it('takes one that is cancelled out of the window, or out of its batch, and cancels a batch that is left empty', async () => {
    world.receiver.answers((response) => response.writeHead(503).end());
    await world.collecting.endpoint({ maxEvents: 2 }, { retrySchedule: [3_600, 3_600] });
    const dropped = await world.collecting.publish(0);
    expect(await world.collecting.act(await world.account.deliveryOf(dropped), 'cancel')).toMatchObject({
      status: 'cancelled',
      statusReason: 'cancelled_by_request',
    });
    const [first, second] = [await world.collecting.publish(1), await world.collecting.publish(2)];
    const batch = await world.collecting.batchOf(first, ({ status }) => status === 'retrying');
    expect(world.receiver.received.map(numbersIn)).toEqual([[1, 2]]);
    await world.collecting.act(await world.account.deliveryOf(first), 'cancel');
    expect(await world.account.deliveryOf(first)).toMatchObject({ status: 'cancelled', batchId: null });
    const again = await world.receiver.next(() => world.collecting.act(batch, 'retry'));
    expect(numbersIn(again)).toEqual([2]);
    await until(
      () => world.account.delivery(batch.id),
      ({ status, attemptCount }) => status !== 'pending' && attemptCount === 2,
    );
    await world.collecting.act(await world.account.deliveryOf(second), 'cancel');
    expect(await world.account.delivery(batch.id)).toMatchObject({ status: 'cancelled' });
  });

  it('cancels and sends again a batch with all that it carries', async () => {
    world.receiver.answers((response) => response.writeHead(503).end());
    await world.collecting.endpoint({ maxEvents: 2 }, { retrySchedule: [3_600] });
    const events = [await world.collecting.publish(1), await world.collecting.publish(2)];
    const batch = await world.collecting.batchOf(
      events[0] ?? { id: '' },
      ({ status }) => status === 'retrying',
    );
    await world.collecting.act(batch, 'cancel');
    for (const event of events)
      expect(await world.collecting.item(event, 'cancelled')).toMatchObject({
        statusReason: 'cancelled_by_request',
      });
    world.receiver.answers((response) => response.end());
    for (const times of [1, 2]) {
      const again = await world.receiver.next(() => world.collecting.act(batch, 'retry'));
      expect([times, numbersIn(again), again.headers['webhook-id']]).toEqual([
        times,
        [1, 2],
        world.receiver.received[0]?.headers['webhook-id'],
      ]);
      for (const event of events) await world.collecting.item(event, 'delivered');
    }
  });

  it('fails all that a batch carries when its schedule is used up', async () => {
    world.receiver.answers((response) => response.writeHead(500).end());
    await world.collecting.endpoint({ maxEvents: 2 }, { retrySchedule: [] });
    const events = [await world.collecting.publish(1), await world.collecting.publish(2)];
    for (const event of events)
      expect(await world.collecting.item(event, 'failed')).toMatchObject({ statusReason: 'exhausted' });
  });

  it('holds batches of an open circuit, and lets one through that is retried by hand', async () => {
    world.receiver.answers((response) => response.writeHead(500).end());
    await world.collecting.endpoint({ maxEvents: 1 }, { retrySchedule: [3_600] });
    for (let n = 0; n < 25; n += 1) await world.collecting.publish(n);
    await until(
      () =>
        world.system.sql<{ circuit_open: boolean }>('SELECT circuit_open FROM endpoints WHERE circuit_open'),
      ({ length }) => length > 0,
    );
    const event = await world.collecting.publish(99);
    const held = await world.collecting.item(event, 'held');
    expect(held).toMatchObject({ statusReason: 'circuit_open' });
    world.receiver.answers((response) => response.end());
    const sent = await world.receiver.next(() => world.collecting.act(held, 'retry'));
    expect(numbersIn(sent)).toEqual([99]);
    await world.collecting.item(event, 'delivered');
  });

  it('holds batches of an endpoint that has still to be verified', async () => {
    world.receiver.answers((response) => response.writeHead(500).end());
    await world.collecting.endpoint({ maxEvents: 1 }, { verification: 'challenge' });
    const event = await world.collecting.publish(1);
    expect(await world.collecting.item(event, 'held')).toMatchObject({ statusReason: 'endpoint_unverified' });
  });

  it('sends a test as an array of one', async () => {
    const endpoint = await world.collecting.endpoint({ maxEvents: 10 });
    const sent = await world.receiver.next(() =>
      world.system.ok('POST', `${pathOf(endpoint)}/test`, { type: 'counted.event', data: { n: 7 } }),
    );
    expect(numbersIn(sent)).toEqual([7]);
    expect(sent.headers['webhook-test']).toBe('true');
  });

  it('shows no batch of another account', async () => {
    await world.collecting.endpoint({ maxEvents: 1 });
    const { id } = await world.collecting.batchOf(await world.collecting.publish(1));
    const other = await world.system.account();
    expect((await world.system.call('GET', `${other.path}/deliveries/${id}`)).status).toBe(404);
    expect(await other.deliveries(`batchId=${id}`)).toEqual([]);
  });
});
