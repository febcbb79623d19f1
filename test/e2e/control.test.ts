import type { ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { fromId } from '../../src/common/ids.js';
import type { DeliveryShown } from '../../src/deliveries/deliveries.schema.js';
import { deliveryWorkflowId, holdSignal } from '../../workflows/contracts.js';
import { Gate } from '../support/gate.js';
import { Receiver } from '../support/receiver.js';
import { testServers } from '../support/servers.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

describe('people acting on deliveries', () => {
  let system: System;
  let account: Account;
  let receiver: Receiver;

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    receiver = await Receiver.answering(500);
  });
  afterEach(() => receiver.stop());

  const recover = () => receiver.answers((response) => response.end('fine'));
  const act = (delivery: { id: string }, verb: 'retry' | 'cancel') =>
    system.call<DeliveryShown & { code: string }>(
      'POST',
      `${account.path}/deliveries/${delivery.id}/${verb}`,
    );
  /** A delivery that sleeps for an hour after its first failure. */
  const sleeping = async () => {
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [3600, 3600] });
    const event = await account.publish();
    const delivery = await account.deliveryOf(event, ({ status }) => status === 'retrying');
    return { endpoint, event, delivery };
  };

  it('has a workflow told at once, whatever others have to be told of', async () => {
    const { delivery } = await sleeping();
    const other = await system.account();
    const { id: endpointId } = await other.endpoint({ url: receiver.url });
    await system.sql(
      `INSERT INTO deliveries (id, account_id, event_id, endpoint_id, event_type, status, tell, due_at)
        SELECT posthorn_uuid_v7(), $1, posthorn_uuid_v7(), $2, 'some.type', 'cancelled', 'cancel', now()
        FROM generate_series(1, 30000)`,
      [fromId('account', other.id), fromId('endpoint', endpointId)],
    );
    const untold = async (account: { id: string }) => {
      const [row] = await system.sql<{ count: number }>(
        'SELECT count(*)::int AS count FROM deliveries WHERE account_id = $1 AND tell IS NOT NULL',
        [fromId('account', account.id)],
      );
      return row?.count ?? 0;
    };
    await act(delivery, 'cancel');
    await until(
      () => untold(account),
      (count) => count === 0,
    );
    expect(await untold(other)).toBeGreaterThan(1_000);
    await system.sql('DELETE FROM deliveries WHERE account_id = $1', [fromId('account', other.id)]);
  });

  it('shows the live state while the workflow sleeps, and the record after it has ended', async () => {
    const { delivery, event } = await sleeping();
    const live = await until(
      () => account.delivery(delivery.id),
      (shown) => shown.live,
    );
    expect(live).toMatchObject({
      status: 'retrying',
      statusReason: 'http_500',
      attemptCount: 1,
      eventId: event.id,
    });
    expect(Date.parse(live.nextAttemptAt ?? '')).toBeGreaterThan(Date.now() + 3000 * 1000);
    expect(live.attempts[0]).toMatchObject({ trigger: 'schedule', outcome: 'transient', statusCode: 500 });
    expect(live.workflow.workflowId).toBe(`delivery/${event.id}/${delivery.endpointId}`);
    expect(live.workflow.runId).not.toBeNull();
    recover();
    await act(delivery, 'retry');
    await account.deliveryOf(event, ({ status }) => status === 'delivered');
    expect(await account.delivery(delivery.id)).toMatchObject({
      live: false,
      status: 'delivered',
      nextAttemptAt: null,
    });
  });

  it('shows it of others too, while a first attempt that is under way keeps its workflow from answering', async () => {
    const { delivery } = await sleeping();
    const gate = new Gate();
    const slow = await Receiver.start();
    slow.answers(gate.answer);
    const endpoint = await account.endpoint({ url: slow.url, eventTypes: ['slow.one'], lane: 'durable' });
    const event = await account.publish({ type: 'slow.one' });
    await slow.got(1);
    const first = await account.deliveryOf(event, () => true, endpoint);
    // Of two, since a cluster's processes take turns.
    const shownBoth = (id: string) => Promise.all([account.delivery(id), account.delivery(id)]);
    expect(await shownBoth(first.id)).toMatchObject([{ live: false }, { live: false }]);
    expect(await shownBoth(delivery.id)).toMatchObject([{ live: true }, { live: true }]);
    gate.open();
    await account.deliveryOf(event, ({ status }) => status === 'delivered', endpoint);
    await slow.stop();
  });

  it('cuts a backoff short when asked to retry', async () => {
    const { delivery, event } = await sleeping();
    recover();
    expect((await act(delivery, 'retry')).status).toBe(202);
    await account.deliveryOf(event, ({ status }) => status === 'delivered');
    const shown = await account.delivery(delivery.id);
    expect(shown.attempts.map(({ trigger }) => trigger)).toEqual(['schedule', 'manual']);
    expect(receiver.received[1]?.headers['webhook-id']).toBe(event.id);
  });

  it('goes on with the schedule when a retry by hand fails', async () => {
    const { delivery, event } = await sleeping();
    await act(delivery, 'retry');
    const retried = await account.deliveryOf(event, ({ attemptCount }) => attemptCount === 2);
    expect(retried.status).toBe('retrying');
    await act(delivery, 'retry');
    expect(await account.deliveryOf(event, ({ attemptCount }) => attemptCount === 3)).toMatchObject({
      status: 'failed',
      statusReason: 'exhausted',
    });
  });

  it.each(['delivered', 'failed', 'cancelled'])(
    'sends a %s delivery again, with a schedule of its own',
    async (ending) => {
      const { delivery, event } = await sleeping();
      if (ending === 'delivered') recover();
      if (ending === 'cancelled') await act(delivery, 'cancel');
      while (ending !== (await account.delivery(delivery.id)).status) {
        const { attemptCount } = await account.delivery(delivery.id);
        await act(delivery, 'retry');
        await account.deliveryOf(event, (shown) => shown.attemptCount > attemptCount);
      }
      const before = (await account.delivery(delivery.id)).attemptCount;
      receiver.answers((response) => response.writeHead(500).end());
      expect((await act(delivery, 'retry')).status).toBe(202);
      const again = await account.deliveryOf(event, (shown) => shown.attemptCount === before + 1);
      expect(again.status).toBe('retrying');
      const shown = await account.delivery(delivery.id);
      expect(shown.attempts.map(({ number }) => number)).toEqual(
        Array.from({ length: before + 1 }, (_, index) => index + 1),
      );
      expect(shown.attempts.at(-1)?.trigger).toBe('manual');
      expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id']))).toEqual(
        new Set([event.id]),
      );
    },
  );

  it('starts no attempt after a cancel was answered, and lets the workflow end as cancelled', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [1] });
    const event = await account.publish();
    const delivery = await account.deliveryOf(event, ({ status }) => status === 'retrying');
    const cancelled = await act(delivery, 'cancel');
    expect(cancelled.status).toBe(202);
    expect(cancelled.body).toMatchObject({
      status: 'cancelled',
      statusReason: 'cancelled_by_request',
      nextAttemptAt: null,
    });
    // Another event's retry comes a second later: by then the cancelled one's would have come too.
    const other = await account.publish();
    await account.deliveryOf(other, ({ status }) => status === 'failed', endpoint);
    const ids = receiver.received.map(({ headers }) => headers['webhook-id']);
    expect(ids.filter((id) => id === event.id)).toHaveLength(1);
    expect((await act(delivery, 'cancel')).status).toBe(202);
  });

  it('sends what was cancelled and retried at once, however the two meet', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, retrySchedule: [3600] });
    const events = await Promise.all(Array.from({ length: 10 }, () => account.publish()));
    const sleepers = await Promise.all(
      events.map((event) => account.deliveryOf(event, ({ status }) => status === 'retrying', endpoint)),
    );
    recover();
    await Promise.all(
      sleepers.map(async (delivery) => {
        expect((await act(delivery, 'cancel')).status).toBe(202);
        expect((await act(delivery, 'retry')).status).toBe(202);
      }),
    );
    for (const event of events) await account.deliveryOf(event, ({ status }) => status === 'delivered');
  });

  it('sends what was cancelled and retried during its last attempt, once that has failed', async () => {
    const held: ServerResponse[] = [];
    receiver.answers((response) => held.push(response));
    await account.endpoint({ url: receiver.url, retrySchedule: [], lane: 'durable' });
    const event = await account.publish();
    await receiver.got(1);
    const delivery = await account.deliveryOf(event);
    await act(delivery, 'cancel');
    expect((await act(delivery, 'retry')).status).toBe(202);
    recover();
    held[0]?.writeHead(503).end();
    await account.deliveryOf(event, ({ status }) => status === 'delivered');
    expect(receiver.received).toHaveLength(2);
  });

  it('refuses to cancel what has ended', async () => {
    recover();
    await account.endpoint({ url: receiver.url });
    const delivery = await account.deliveryOf(
      await account.publish(),
      ({ status }) => status === 'delivered',
    );
    const answer = await act(delivery, 'cancel');
    expect([answer.status, answer.body.code]).toEqual([409, 'delivery_ended']);
  });

  it('refuses to retry while an attempt is under way', async () => {
    let let_go: () => void = () => undefined;
    receiver.answers((response, _received, count) => {
      if (count === 1) response.writeHead(500).end();
      else let_go = () => void response.end();
    });
    const { delivery } = await sleeping();
    expect((await act(delivery, 'retry')).status).toBe(202);
    await receiver.got(2);
    const answer = await act(delivery, 'retry');
    expect([answer.status, answer.body.code]).toEqual([409, 'attempt_in_progress']);
    let_go();
    await account.deliveryOf({ id: delivery.eventId ?? '' }, ({ status }) => status === 'delivered');
  });

  it('holds every delivery of a paused endpoint, new and waiting, and releases them all when resumed', async () => {
    const { endpoint, delivery, event } = await sleeping();
    const path = `${account.path}/endpoints/${endpoint.id}`;
    expect(await system.ok('PATCH', path, { paused: true })).toMatchObject({
      status: 'paused',
      paused: true,
    });
    expect(await account.delivery(delivery.id)).toMatchObject({
      status: 'held',
      statusReason: 'endpoint_paused',
    });
    const others = await Promise.all(Array.from({ length: 20 }, () => account.publish()));
    expect(await account.deliveryOf(others[0] ?? event)).toMatchObject({ status: 'held' });
    const refused = await act(delivery, 'retry');
    expect([refused.status, refused.body.code]).toEqual([409, 'delivery_held']);
    recover();
    expect(await system.ok('PATCH', path, { paused: false })).toMatchObject({ status: 'active' });
    await receiver.got(21);
    expect(await account.delivery(delivery.id)).toMatchObject({ status: 'retrying', attemptCount: 1 });
    await act(delivery, 'retry');
    await until(
      () => account.deliveries('status=delivered'),
      (delivered) => delivered.length === 21,
    );
    expect(receiver.received).toHaveLength(22);
  });

  it('loses none when an endpoint is paused and resumed over and over while events come in', async () => {
    recover();
    const endpoint = await account.endpoint({ url: receiver.url });
    const path = `${account.path}/endpoints/${endpoint.id}`;
    const publishing = Array.from({ length: 60 }, async (_, index) => {
      await until(
        () => receiver.received.length,
        (count) => count >= index - 40,
      );
      return account.publish();
    });
    for (let round = 0; round < 5; round += 1) {
      await system.ok('PATCH', path, { paused: true });
      await system.ok('PATCH', path, { paused: false });
    }
    await Promise.all(publishing);
    await until(
      () => account.deliveries('status=delivered'),
      (delivered) => delivered.length === 60,
    );
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(60);
  });

  it('cancels the open deliveries of a deleted endpoint and keeps their log', async () => {
    const { endpoint, delivery, event } = await sleeping();
    const deleted = await system.call('DELETE', `${account.path}/endpoints/${endpoint.id}`);
    expect(deleted.status).toBe(204);
    expect(await account.delivery(delivery.id)).toMatchObject({
      status: 'cancelled',
      statusReason: 'endpoint_deleted',
    });
    const answer = await act(delivery, 'retry');
    expect([answer.status, answer.body.code]).toEqual([409, 'endpoint_deleted']);
    expect((await account.publish()).matched).toBe(0);
    expect((await account.deliveries(`eventId=${event.id}`))[0]?.attemptCount).toBe(1);
    expect(
      await system.sql(
        'SELECT 1 FROM endpoint_secrets WHERE endpoint_id = (SELECT endpoint_id FROM deliveries WHERE event_id = (SELECT id FROM events ORDER BY id DESC LIMIT 1))',
      ),
    ).toEqual([]);
  });

  it('is not looked at again after a pause until its next attempt should be made', async () => {
    const { endpoint, delivery } = await sleeping();
    for (const paused of [true, false])
      await system.ok('PATCH', `${account.path}/endpoints/${endpoint.id}`, { paused });
    const [row] = await until(
      () =>
        system.sql<{ tell: string | null; rests: boolean }>(
          `SELECT tell, due_at >= next_attempt_at AS rests FROM deliveries WHERE id = $1`,
          [fromId('delivery', delivery.id)],
        ),
      ([now]) => now?.tell === null,
    );
    expect(row).toEqual({ tell: null, rests: true });
  });

  /** Tells a workflow of a pause, as a process that was slow to do so does after the pause has ended. */
  const tellOfPause = async (event: { id: string }, endpoint: { id: string }) => {
    const connection = await Connection.connect({ address: testServers().temporalAddress });
    const { workflow } = new Client({ connection });
    await workflow.getHandle(deliveryWorkflowId(event.id, endpoint.id)).signal(holdSignal);
    await connection.close();
  };

  it('goes on when its workflow was told of a pause after the pause had ended', async () => {
    const { endpoint, event, delivery } = await sleeping();
    recover();
    await tellOfPause(event, endpoint);
    expect((await act(delivery, 'retry')).status).toBe(202);
    const { attemptCount } = await account.deliveryOf(event, ({ status }) => status === 'delivered');
    expect(attemptCount).toBe(2);
  });

  it('goes on when its workflow was told so before its first attempt', async () => {
    recover();
    const endpoint = await account.endpoint({
      url: receiver.url,
      lane: 'durable',
      rateLimit: { perSecond: 0.01 },
    });
    await account.publish();
    await receiver.got(1);
    const event = await account.publish();
    // Who is released goes on as a workflow, which waits for the rate as well.
    for (const paused of [true, false])
      await system.ok('PATCH', `${account.path}/endpoints/${endpoint.id}`, { paused });
    await account.deliveryOf(event, ({ nextAttemptAt }) => nextAttemptAt !== null);
    await tellOfPause(event, endpoint);
    await system.ok('PATCH', `${account.path}/endpoints/${endpoint.id}`, { rateLimit: null });
    await until(
      async () => {
        // As if nobody had looked for a minute.
        await system.sql(`UPDATE deliveries SET due_at = now() WHERE status = 'pending' AND tell IS NULL`);
        return account.deliveries('status=delivered');
      },
      (delivered) => delivered.length === 2,
    );
  });
});
