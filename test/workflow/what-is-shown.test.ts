import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { DeliveryResult } from '../../workflows/contracts.js';
import { answers, behind, Gate, over } from './scripted-receiver.js';
import { TimeSkipping } from './time-skipping.js';

let world: TimeSkipping;
beforeAll(async () => {
  world = await TimeSkipping.start();
});
afterAll(() => world.close());

describe('the log', () => {
  test('shows each state of a delivery, and all of it after the end', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver([answers(503), behind(gate, answers(200))], {
      schedule: [36_000],
    });
    await delivery.sleeps();
    const waiting = await delivery.log();
    expect(waiting).toMatchObject({
      state: 'waiting',
      attempts: [{ number: 1, trigger: 'schedule', outcome: 'transient', statusCode: 503 }],
    });
    expect(waiting.nextAttemptAtMs).toBeGreaterThan(await world.now());

    await delivery.hold();
    await delivery.becomes('held');
    expect(await delivery.log()).toEqual({ ...waiting, state: 'held' });

    await delivery.release();
    await delivery.sleeps(2);
    await delivery.retryNow();
    await gate.reached;
    expect(await delivery.log()).toEqual({ ...waiting, state: 'attempting', nextAttemptAtMs: null });

    gate.open();
    await delivery.result();
    expect(await delivery.log()).toMatchObject({
      state: 'ended',
      attempts: [{ number: 1 }, { number: 2, trigger: 'manual', outcome: 'delivered', statusCode: 200 }],
      nextAttemptAtMs: null,
    });
  });
});

describe("Temporal's Web UI", () => {
  test('has the delivery in words and a table, from the first backoff to after the end', async () => {
    const gate = new Gate();
    const delivery = await world.runner.deliver([answers(503), behind(gate, answers(200))], {
      schedule: [36_000],
    });
    await delivery.sleeps();
    const { nextAttemptAtMs } = await delivery.log();
    const waiting = await delivery.currentDetails();
    expect(waiting).toContain(
      `1 of 2 attempts made. Next attempt at ${new Date(nextAttemptAtMs ?? Number.NaN).toISOString()}.`,
    );
    expect(waiting).toMatch(/^\| 1 \| schedule \| .* \| 12 ms \| transient \| 503 \|$/m);

    await delivery.hold();
    await delivery.becomes('held');
    expect(await delivery.currentDetails()).toContain(
      'Held: the endpoint is paused, or its circuit is open. 1 attempt made.',
    );

    await delivery.release();
    await delivery.sleeps(2);
    await delivery.retryNow();
    await gate.reached;
    expect(await delivery.currentDetails()).toContain('Attempt 2 of 2 is under way.');

    gate.open();
    await delivery.result();
    const ended = await delivery.currentDetails();
    expect(ended).toContain('Ended after 2 attempts.');
    expect(ended).toMatch(/^\| 2 \| manual \| .* \| 12 ms \| delivered \| 200 \|$/m);
  });

  test('names each timer and each attempt after the attempt it is for', async () => {
    const delivery = await world.runner.deliver([answers(503), answers(503), answers(200)]);
    await delivery.result();
    const summaries = (await delivery.history()).flatMap(({ userMetadata }) => {
      const data = userMetadata?.summary?.data;
      return data ? [JSON.parse(Buffer.from(data).toString()) as string] : [];
    });
    expect(summaries).toEqual([
      'invoice.paid → receiver.example',
      'attempt 1',
      'attempt 2 of 10',
      'attempt 2 of 10',
      'attempt 3 of 10',
      'attempt 3 of 10',
    ]);
  });

  test('finds a delivery by its state once it has failed an attempt, and is told so once', async () => {
    const delivery = await world.runner.deliver([answers(503), answers(503), answers(503), answers(200)]);
    await delivery.result();
    expect(await delivery.states()).toEqual(['retrying']);
  });

  test('is not told the state of a delivery that succeeds or ends at its first attempt', async () => {
    const delivered = await world.runner.deliver([answers(200)]);
    await delivered.result();
    expect(await delivered.states()).toEqual([]);
    const gone = await world.runner.deliver([answers(410)]);
    await expect(gone.result()).rejects.toThrow();
    expect(await gone.states()).toEqual([]);
  });
});

describe('a delivery that is over in the record', () => {
  test.each<DeliveryResult['status']>(['delivered', 'erased'])('as %s completes', async (status) => {
    const delivery = await world.runner.deliver([over(status, null)]);
    expect(await delivery.result()).toEqual({ status, attempts: 0 });
    expect(await delivery.log()).toMatchObject({ state: 'ended' });
  });

  test('as failed fails with the reason of the record', async () => {
    const delivery = await world.runner.deliver([over('failed', 'exhausted')]);
    await expect(delivery.result()).rejects.toMatchObject({
      cause: { type: 'exhausted', message: 'failed: exhausted' },
    });
  });

  test('as skipped fails with the reason of the record', async () => {
    const delivery = await world.runner.deliver([over('skipped', 'endpoint_disabled')]);
    await expect(delivery.result()).rejects.toMatchObject({
      cause: { type: 'endpoint_disabled', message: 'skipped: endpoint_disabled' },
    });
  });

  test('without a reason fails with its status as the reason', async () => {
    const delivery = await world.runner.deliver([over('skipped', null)]);
    await expect(delivery.result()).rejects.toMatchObject({ cause: { type: 'skipped' } });
  });

  test('as cancelled ends as Cancelled', async () => {
    const delivery = await world.runner.deliver([over('cancelled', 'endpoint_deleted')]);
    await expect(delivery.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
    expect(delivery.receiver.cancelled).toEqual([
      {
        deliveryId: delivery.ids.deliveryId,
        reason: 'endpoint_deleted',
        cancelWorkflowId: delivery.handle.workflowId,
      },
    ]);
  });
});
