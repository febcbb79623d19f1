import { describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { eachCollecting, type Item, itemsIn, numbersIn } from '../support/batches.js';
import { Receiver } from '../support/receiver.js';
import { until } from '../support/until.js';

describe('events that are sent together', () => {
  const world = eachCollecting();

  describe.each(['durable', 'express', 'auto'])('in the lane %s', (lane) => {
    it('go as one signed array as soon as there are so many, each with its delivery', async () => {
      const endpoint = await world.collecting.endpoint({ maxEvents: 3 }, { lane });
      const events = [
        await world.collecting.publish(1),
        await world.collecting.publish(2),
        await world.collecting.publish(3),
      ];
      const [received] = await world.receiver.got(1);
      if (!received) throw new Error('nothing was received');
      expect(itemsIn(received).map(({ id, type, data }) => [id, type, data.n])).toEqual(
        events.map(({ id }, index) => [id, 'counted.event', index + 1]),
      );
      expect(received.headers['content-type']).toBe('application/json');
      expect(received.headers['webhook-id']).toMatch(/^msg_[0-9a-z]{26}$/);
      new Webhook(endpoint.signingSecret).verify(received.body, received.headers as Record<string, string>);
      for (const event of events) {
        const { statusReason, batchId, batch } = await world.account.deliveryOf(
          event,
          ({ status }) => status === 'delivered',
        );
        expect([statusReason, batch]).toEqual([null, null]);
        expect(await world.account.delivery(batchId ?? '')).toMatchObject({
          eventId: null,
          eventType: null,
          batch: { events: 3, webhookId: received.headers['webhook-id'] },
          status: 'delivered',
          attemptCount: 1,
        });
      }
    });

    it('go when the time of their window is over, however few there are', async () => {
      await world.collecting.endpoint({ maxEvents: 100, maxWaitSeconds: 1 }, { lane });
      await world.collecting.publish(1);
      await world.collecting.publish(2);
      const [received] = await world.receiver.got(1);
      expect(received && numbersIn(received)).toEqual([1, 2]);
    });

    it('are sent again as a whole under the same id', async () => {
      world.receiver.answers((response, _received, count) => response.writeHead(count < 3 ? 500 : 200).end());
      await world.collecting.endpoint({ maxEvents: 2 }, { lane, retrySchedule: [0.05, 0.05] });
      const event = await world.collecting.publish(1);
      await world.collecting.publish(2);
      const received = await world.receiver.got(3);
      expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
      expect(new Set(received.map(({ body }) => body)).size).toBe(1);
      const batch = await world.collecting.batchOf(event, ({ status }) => status === 'delivered');
      expect(batch.attemptCount).toBe(3);
      await world.account.deliveryOf(event, ({ status }) => status === 'delivered');
    });
  });

  it('go as soon as they are large enough', async () => {
    await world.collecting.endpoint({ maxBytes: 1_024 });
    for (const n of [1, 2, 3])
      await world.account.publish({ type: 'counted.event', data: { n, filling: 'x'.repeat(400) } });
    const [received] = await world.receiver.got(1);
    expect(received && numbersIn(received)).toEqual([1, 2]);
    await until(
      () => world.account.deliveries('status=pending'),
      (pending) => pending.length === 1,
    );
  });

  it('are cut into as many batches as they fill, in their order', async () => {
    await world.collecting.endpoint({ maxEvents: 300 });
    await world.collecting.publishMany(1_000);
    const received = await world.receiver.got(3);
    const numbers = received.map(numbersIn);
    expect(numbers.map(({ length }) => length)).toEqual([300, 300, 300]);
    expect(numbers.flat().toSorted((a, b) => a - b)).toEqual(Array.from({ length: 900 }, (_, n) => n));
    for (const each of numbers) expect(each).toEqual(each.toSorted((a, b) => a - b));
    const pending = await until(
      () => world.account.deliveries('status=pending'),
      ({ length }) => length === 100,
    );
    expect(new Set(pending.map(({ batchId }) => batchId))).toEqual(new Set([null]));
  });

  it('go in one request where there are a thousand', async () => {
    await world.collecting.endpoint({ maxEvents: 1_000 });
    await world.collecting.publishMany(1_000);
    const [received] = await world.receiver.got(1);
    expect(received && numbersIn(received)).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
  });

  it('go once where a publish matches more than one commit holds', async () => {
    for (let count = 0; count < 3; count += 1) await world.collecting.endpoint({ maxEvents: 500 });
    await world.collecting.publishMany(1_000);
    const received = await world.receiver.got(6);
    const numbers = received.flatMap(numbersIn).toSorted((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: 3_000 }, (_, index) => Math.floor(index / 3)));
  });

  it('are told apart from those of endpoints that get the same events one by one', async () => {
    const other = await Receiver.start();
    await world.collecting.endpoint({ maxEvents: 2 });
    await world.account.endpoint({ url: other.url });
    await world.collecting.publish(1);
    await world.collecting.publish(2);
    await world.receiver.got(1);
    const singles = await other.got(2);
    expect(singles.map(({ body }) => (JSON.parse(body) as Item).data.n).toSorted()).toEqual([1, 2]);
    await other.stop();
  });
});
