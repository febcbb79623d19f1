import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { fromId } from '../../src/common/ids.js';
import { LANES } from '../../src/common/lane.js';
import { PRIORITIES } from '../../src/common/priority.js';
import { Attempter } from '../../src/deliveries/attempter.js';
import { DeliveryStarter } from '../../src/dispatch/delivery-starter.js';
import { Intake } from '../../src/dispatch/intake.js';
import { ProcessLease } from '../../src/dispatch/process-lease.js';
import { Reconciler } from '../../src/dispatch/reconciler.js';
import { ProgramRuns } from '../../src/transformations/program-runs.js';
import { Transformer } from '../../src/transformations/transformer.js';
import { Gate } from '../support/gate.js';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

const ids = (receiver: Receiver) => receiver.received.map(({ headers }) => headers['webhook-id']);

describe.each(LANES)('the order in the lane %s', (lane) => {
  let system: System;
  let account: Account;
  let receiver: Receiver;
  let gate: Gate;

  beforeAll(async () => {
    system = await System.start({ env: { POSTHORN_LANE: lane } });
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    gate = new Gate();
    receiver = await Receiver.start(gate.answer);
  });
  afterEach(() => receiver.stop());

  /** Publishes them one after another while the only place of the endpoint is taken, and lets each go when it has come. */
  const sendAll = async (published: Record<string, unknown>[], endpoint: Record<string, unknown> = {}) => {
    await account.endpoint({ url: receiver.url, maxInFlight: 1, ...endpoint });
    await account.publish();
    await receiver.got(1);
    const events: string[] = [];
    for (const body of published) events.push((await account.publish(body)).id);
    for (let arrived = 1; arrived <= published.length; arrived += 1) {
      gate.letOneGo();
      await receiver.got(arrived + 1);
    }
    gate.open();
    return { events, arrived: ids(receiver).slice(1) };
  };

  it("of an endpoint's deliveries is by priority, whichever was published first", async () => {
    const { events, arrived } = await sendAll([...PRIORITIES].reverse().map((priority) => ({ priority })));
    expect(arrived).toEqual([...events].reverse());
  });

  it('of one priority is that of publishing', async () => {
    const { events, arrived } = await sendAll(Array.from({ length: 12 }, () => ({})));
    expect(arrived).toEqual(events);
  });

  it('puts a critical event before a backlog of its endpoint', async () => {
    const { events, arrived } = await sendAll([
      ...Array.from({ length: 20 }, () => ({ priority: 'low' })),
      { priority: 'critical' },
    ]);
    expect(arrived[0]).toBe(events.at(-1));
  });
});

it.each(LANES)(
  'what was taken over from a process while it was away is left alone by it, in the lane %s',
  async (lane) => {
    const frozen = await System.start({ env: { POSTHORN_LANE: lane } });
    const gate = new Gate();
    const receiver = await Receiver.start(gate.answer);
    const account = await frozen.account();
    await account.endpoint({ url: receiver.url, maxInFlight: 1 });
    const sent = await account.publish();
    await receiver.got(1);
    const unsent = await Promise.all(Array.from({ length: 10 }, () => account.publish()));
    const lease = frozen.get(ProcessLease).current;
    const other = await System.start({ like: frozen });
    await frozen.sql('UPDATE leases SET expires_at = now() WHERE id = $1', [lease]);
    await until(
      () => frozen.get(ProcessLease).current,
      (current) => current !== lease,
    );
    gate.open();
    await until(
      () => account.deliveries('status=delivered'),
      (deliveries) => deliveries.length === 11,
    );
    expect(
      ids(receiver)
        .filter((id) => id !== sent.id)
        .sort(),
    ).toEqual(unsent.map(({ id }) => id).sort());
    expect(other.get(ProcessLease).current).not.toBeNull();
    await other.stop();
    await frozen.stop();
    await receiver.stop();
  },
);

it('a first attempt that waits in memory is the next of its endpoint when it is retried by hand', async () => {
  const system = await System.start({ env: { POSTHORN_LANE: 'express' } });
  const account = await system.account();
  const gate = new Gate();
  const receiver = await Receiver.start(gate.answer);
  await account.endpoint({ url: receiver.url, maxInFlight: 1 });
  const events = [await account.publish()];
  await receiver.got(1);
  for (let n = 0; n < 8; n += 1) events.push(await account.publish());
  const last = await account.deliveryOf(events.at(-1) ?? { id: '' });
  expect((await system.call('POST', `${account.path}/deliveries/${last.id}/retry`)).status).toBe(202);
  // Whoever has it in hand has seen that somebody asks for it.
  await until(
    () => system.sql('SELECT id FROM deliveries WHERE next_attempt_at IS NOT NULL AND due_at > now()'),
    (seen) => seen.length === 1,
  );
  gate.letOneGo();
  await receiver.got(2);
  expect(ids(receiver)[1]).toBe(events.at(-1)?.id);
  gate.open();
  await receiver.got(events.length);
  const { attempts } = await account.delivery(last.id);
  expect(attempts.map(({ trigger }) => trigger)).toEqual(['schedule']);
  expect(new Set(ids(receiver)).size).toBe(events.length);
  await system.stop();
  await receiver.stop();
});

it('what waits long for its endpoint goes the way it was taken for, also when others would go another way now', async () => {
  const system = await System.start({ env: { POSTHORN_LANE: 'durable' } });
  const account = await system.account();
  const gate = new Gate();
  const receiver = await Receiver.start(gate.answer);
  const { id } = await account.endpoint({ url: receiver.url, lane: 'express', maxInFlight: 1 });
  await account.publish();
  await receiver.got(1);
  await account.publish();
  await system.ok('PATCH', `${account.path}/endpoints/${id}`, { lane: null });
  // As if it had waited for as long as nobody looks whether it is still seen to.
  await system.sql(`UPDATE deliveries SET due_at = now() WHERE status = 'pending'`);
  system.get(Intake).nudge();
  await until(
    () => system.sql(`SELECT id FROM deliveries WHERE status = 'pending' AND due_at <= now()`),
    (due) => due.length === 0,
  );
  gate.open();
  await receiver.got(2);
  await system.stop();
  await receiver.stop();
});

it.each(LANES)(
  'a delivery is sent at once when it is retried while its workflow is just being started, in the lane %s',
  async (lane) => {
    const system = await System.start({ env: { POSTHORN_LANE: lane } });
    const account = await system.account();
    const receiver = await Receiver.answering(500);
    await account.endpoint({ url: receiver.url, retrySchedule: [3600, 3600] });
    const event = await account.publish();
    const delivery = await account.deliveryOf(event, ({ status }) => status === 'retrying');
    await until(
      () => account.delivery(delivery.id),
      ({ live }) => live,
    );
    receiver.answers((response) => response.end());
    // Nobody finds its workflow, when it is asked and when the record is seen to.
    const looking = jest.spyOn(system.get(Reconciler), 'retryNow');
    looking.mockResolvedValueOnce('not_running').mockResolvedValueOnce('not_running');
    expect((await system.call('POST', `${account.path}/deliveries/${delivery.id}/retry`)).status).toBe(202);
    await account.deliveryOf(event, ({ status }) => status === 'delivered');
    const { attempts } = await account.delivery(delivery.id);
    expect(attempts.map(({ trigger }) => trigger)).toEqual(['schedule', 'manual']);
    await system.stop();
    await receiver.stop();
  },
);

it.each(['at once', 'by the record'])(
  'a retry is not refused for an attempt that is on the log, while its workflow has still to hear of it: told %s',
  async (told) => {
    const system = await System.start();
    const account = await system.account();
    const receiver = await Receiver.answering(500);
    await account.endpoint({ url: receiver.url, retrySchedule: [3600, 3600] });
    const event = await account.publish();
    const { id } = await account.deliveryOf(event, ({ status }) => status === 'retrying');
    await until(
      () => account.delivery(id),
      ({ live }) => live,
    );
    const attempter = system.get(Attempter);
    let hear: () => void = () => undefined;
    const heard = new Promise<void>((resolve) => (hear = resolve));
    const attempt = attempter.attempt.bind(attempter);
    jest.spyOn(attempter, 'attempt').mockImplementationOnce(async (...asked) => {
      const result = await attempt(...asked);
      await heard;
      return result;
    });
    const retry = async () => (await system.call('POST', `${account.path}/deliveries/${id}/retry`)).status;
    expect(await retry()).toBe(202);
    await account.deliveryOf(event, ({ attemptCount }) => attemptCount === 2);
    receiver.answers((response) => response.end());
    if (told === 'by the record')
      jest.spyOn(system.get(Reconciler), 'retryNow').mockResolvedValueOnce('unanswered');
    expect(await retry()).toBe(202);
    await until(
      () =>
        system.sql<{ tell: string | null }>('SELECT tell FROM deliveries WHERE id = $1', [
          fromId('delivery', id),
        ]),
      ([row]) => row?.tell === null,
    );
    hear();
    await account.deliveryOf(event, ({ status }) => status === 'delivered');
    const { attempts } = await account.delivery(id);
    expect(attempts.map(({ trigger }) => trigger)).toEqual(['schedule', 'manual', 'manual']);
    await system.stop();
    await receiver.stop();
  },
);

it('what cannot be released keeps nothing waiting that can', async () => {
  const system = await System.start({ env: { POSTHORN_LANE: 'durable' } });
  const receiver = await Receiver.answering(500);
  const account = await system.account();
  const { id } = await account.endpoint({ url: receiver.url, retrySchedule: [3600] });
  await Promise.all(Array.from({ length: 20 }, () => account.publish()));
  await receiver.got(20);
  await system.ok('PATCH', `${account.path}/endpoints/${id}`, { paused: true });
  await until(
    () => account.deliveries('status=held'),
    ({ length }) => length === 20,
  );
  const releases = jest.spyOn(system.get(DeliveryStarter), 'release');
  for (let failing = 0; failing < 3; failing += 1)
    releases.mockRejectedValueOnce(new Error('for a reason of its own'));
  await system.ok('PATCH', `${account.path}/endpoints/${id}`, { paused: false });
  await until(
    () => releases.mock.calls,
    ({ length }) => length >= 20,
  );
  // None was released a second time before all had been released once.
  expect(new Set(releases.mock.calls.slice(0, 20).map(([{ deliveryId }]) => deliveryId)).size).toBe(20);
  await system.stop();
  await receiver.stop();
});

describe.each(LANES)('a transformation in the lane %s', (lane) => {
  it('that finds all places to wait taken is run later, and nobody is charged for it', async () => {
    const system = await System.start({ env: { POSTHORN_LANE: lane } });
    const receiver = await Receiver.start();
    try {
      const account = await system.account();
      const { id, url } = await account.endpoint({ url: receiver.url });
      const code = 'const transform = (event) => ({ body: { id: event.id } })';
      await system.ok('PUT', `${account.path}/endpoints/${id}/transformation`, { kind: 'javascript', code });
      const owner = { accountId: uuidOf('account', account.id), endpointId: uuidOf('endpoint', id), url };
      const runs = system.get(ProgramRuns);
      const asked = jest.spyOn(system.get(Transformer), 'transform');
      const busy = { isOver: false };
      // More than may wait for one endpoint, and another for each that has had its turn.
      const filling = Array.from({ length: 250 }, async () => {
        while (!busy.isOver)
          await runs
            .run({ kind: 'javascript', code }, owner, { id: '', occurredAt: new Date(), text: '{}' })
            .catch(() => new Promise((resolve) => setImmediate(resolve)));
      });
      const event = await account.publish();
      const [first] = await until(
        () => asked.mock.results,
        ({ length }) => length > 0,
      );
      expect(await first?.value).toMatchObject({ kind: 'busy' });
      busy.isOver = true;
      await Promise.all(filling);
      const delivery = await account.deliveryOf(event, ({ status }) => status === 'delivered');
      expect(delivery.attemptCount).toBe(1);
      expect(receiver.received.map(({ body }) => body)).toEqual([JSON.stringify({ id: event.id })]);
    } finally {
      await receiver.stop();
      await system.stop();
    }
  });
});

const uuidOf = (kind: 'account' | 'endpoint', id: string): string => fromId(kind, id) ?? '';
