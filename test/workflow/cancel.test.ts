import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Delivery } from './delivery-runner.js';
import { answers, behind, failsTimes, Gate, times } from './scripted-receiver.js';
import { TimeSkipping } from './time-skipping.js';

const DAY = 24 * 60 * 60 * 1_000;

let world: TimeSkipping;
beforeAll(async () => {
  world = await TimeSkipping.start();
});
afterAll(() => world.close());

async function expectCancelled(delivery: Delivery): Promise<void> {
  await expect(delivery.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
  expect((await delivery.handle.describe()).status.name).toBe('CANCELLED');
  expect(await delivery.log()).toMatchObject({ state: 'ended', nextAttemptAtMs: null });
}

describe('a delivery that Posthorn cancels', () => {
  test('in a backoff ends as Cancelled and is attempted no more', async () => {
    const delivery = await world.runner.deliver([answers(503)]);
    await delivery.sleeps();
    await delivery.cancel('cancelled_by_request');
    await expectCancelled(delivery);
    await world.pass(4 * DAY);
    expect(delivery.receiver.seen).toHaveLength(1);
    expect(delivery.receiver.cancelled).toEqual([
      {
        deliveryId: delivery.ids.deliveryId,
        reason: 'cancelled_by_request',
        cancelWorkflowId: delivery.handle.workflowId,
      },
    ]);
  });

  test('while it is held ends as Cancelled', async () => {
    const delivery = await world.runner.deliver([answers(503)]);
    await delivery.sleeps();
    await delivery.hold();
    await delivery.becomes('held');
    await delivery.cancel('endpoint_deleted');
    await expectCancelled(delivery);
    expect(delivery.receiver.cancelled).toMatchObject([{ reason: 'endpoint_deleted' }]);
  });

  test('during an attempt ends as Cancelled after it, with that attempt on its log', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver([answers(503), behind(gate, answers(500))]);
    await delivery.sleeps();
    await delivery.retryNow();
    await gate.reached;
    await delivery.cancel('cancelled_by_request');
    gate.open();
    await expectCancelled(delivery);
    expect((await delivery.log()).attempts).toMatchObject([{ statusCode: 503 }, { statusCode: 500 }]);
  });

  test('during an attempt that succeeds is delivered', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver([answers(503), behind(gate, answers(200))]);
    await delivery.sleeps();
    await delivery.retryNow();
    await gate.reached;
    await delivery.cancel('cancelled_by_request');
    gate.open();
    expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 2 });
    expect(delivery.receiver.cancelled).toEqual([]);
  });

  test('twice keeps the first reason', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver([answers(503), behind(gate, answers(500))]);
    await delivery.sleeps();
    await delivery.retryNow();
    await gate.reached;
    await delivery.cancel('cancelled_by_request');
    await delivery.cancel('endpoint_deleted');
    gate.open();
    await expectCancelled(delivery);
    expect(delivery.receiver.cancelled).toMatchObject([{ reason: 'cancelled_by_request' }]);
  });

  test('while PostgreSQL is away ends once that is written', async () => {
    const delivery = await world.runner.deliver([answers(503)], { write: failsTimes(20) });
    await delivery.sleeps();
    await delivery.cancel('cancelled_by_request');
    await expectCancelled(delivery);
    expect(delivery.receiver.cancelled).toHaveLength(1);
  });
});

describe('a workflow that is cancelled in Temporal', () => {
  test('in a backoff ends as Cancelled and has that recorded', async () => {
    const delivery = await world.runner.deliver([answers(503)]);
    await delivery.sleeps();
    await delivery.handle.cancel();
    await expectCancelled(delivery);
    expect(delivery.receiver.seen).toHaveLength(1);
    expect(delivery.receiver.cancelled).toEqual([
      { deliveryId: delivery.ids.deliveryId, reason: 'cancelled_in_temporal', cancelWorkflowId: null },
    ]);
  });

  test('while it is held ends as Cancelled', async () => {
    const delivery = await world.runner.deliver([answers(503)]);
    await delivery.sleeps();
    await delivery.hold();
    await delivery.becomes('held');
    await delivery.handle.cancel();
    await expectCancelled(delivery);
    expect(delivery.receiver.cancelled).toMatchObject([{ reason: 'cancelled_in_temporal' }]);
  });

  test('during an attempt lets it end and makes no other, even one that is due at once', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver(
      [answers(503), behind(gate, answers(500)), ...times(3, answers(200))],
      {
        schedule: [36_000, 0, 0],
      },
    );
    await delivery.sleeps();
    await delivery.retryNow();
    await gate.reached;
    await delivery.handle.cancel();
    gate.open();
    await expectCancelled(delivery);
    expect(delivery.receiver.seen).toHaveLength(2);
    expect(delivery.receiver.cancelled).toMatchObject([{ reason: 'cancelled_in_temporal' }]);
  });

  test('while PostgreSQL is away ends once that is written', async () => {
    const delivery = await world.runner.deliver([answers(503)], { write: failsTimes(5) });
    await delivery.sleeps();
    await delivery.handle.cancel();
    await expectCancelled(delivery);
    expect(delivery.receiver.cancelled).toHaveLength(1);
  });
});
