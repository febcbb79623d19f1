import { afterEach, describe, expect, it } from '@jest/globals';
import { fromId } from '../../src/common/ids.js';
import { LANES } from '../../src/common/lane.js';
import { Dispatcher } from '../../src/dispatch/dispatcher.js';
import { Gate } from '../support/gate.js';
import { itInOneProcess } from '../support/one-process.js';
import { PosthornProcess } from '../support/process.js';
import { Receiver } from '../support/receiver.js';
import { createDatabase, testServers } from '../support/servers.js';
import { Account, System } from '../support/system.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';

/** Of two lanes each: those of one that needs a workflow go one after another, once Temporal is there. */
const EVENTS = 10;

describe('several processes over one database', () => {
  const cleanup: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const clean of cleanup.splice(0).reverse()) await clean();
  });
  const keep = <T extends { stop: () => Promise<unknown> }>(thing: T): T => {
    cleanup.push(() => thing.stop());
    return thing;
  };
  const ids = (receiver: Receiver) => receiver.received.map(({ headers }) => headers['webhook-id']);
  const delivered = (account: Account, count: number) =>
    until(
      () => account.deliveries('status=delivered'),
      (deliveries) => deliveries.length === count,
    );

  it.each(LANES)('send by a worker what was published by an api, in the lane %s', async (lane) => {
    const api = keep(await System.start({ env: { POSTHORN_ROLES: 'api', POSTHORN_LANE: lane } }));
    const workers = [];
    for (let count = 0; count < 2; count += 1)
      workers.push(keep(await System.start({ like: api, env: { POSTHORN_ROLES: 'worker' } })));
    const receiver = keep(
      await Receiver.start((response, _received, count) => response.writeHead(count === 1 ? 500 : 200).end()),
    );
    const account = await api.account();
    await account.endpoint({ url: receiver.url, retrySchedule: [0.05] });
    const events = await Promise.all(Array.from({ length: 40 }, () => account.publish()));
    await delivered(account, 40);
    // Each once, and the one that failed at first once more.
    expect(receiver.received).toHaveLength(41);
    expect(new Set(ids(receiver))).toEqual(new Set(events.map(({ id }) => id)));
    for (const url of workers.flatMap(({ processes }) => processes))
      expect((await fetch(`${url}/v1/accounts`)).status).toBe(404);
  });

  it('see a change of an endpoint in the next publish, whichever of them made it', async () => {
    const first = keep(await System.start());
    const second = keep(await System.start({ like: first }));
    const receivers = [keep(await Receiver.start()), keep(await Receiver.start())] as const;
    const account = await first.account();
    const both = [account, new Account(second, account.id)] as const;
    const endpoint = await account.endpoint({ url: receivers[0].url });
    for (let round = 0; round < 10; round += 1) {
      const [changing, publishing] = round % 2 === 0 ? both : ([both[1], both[0]] as const);
      const change = (body: Record<string, unknown>) =>
        changing.system.ok('PATCH', `${account.path}/endpoints/${endpoint.id}`, body);
      await change({ eventTypes: ['never.this'] });
      expect(await publishing.publish()).toMatchObject({ matched: 0 });
      const to = receivers[round % 2 === 0 ? 1 : 0];
      await change({ eventTypes: null, url: to.url, paused: true });
      const event = await publishing.publish();
      expect(await publishing.deliveryOf(event)).toMatchObject({ status: 'held' });
      await change({ paused: false });
      await account.deliveryOf(event, ({ status }) => status === 'delivered');
      expect(ids(to).at(-1)).toBe(event.id);
    }
    expect(receivers.map(({ received }) => received.length)).toEqual([5, 5]);
  });

  it.each(LANES)(
    'send what another has in hand that alone cannot reach Temporal, in the lane %s',
    async (lane) => {
      const env = { POSTHORN_LANE: lane };
      const first = keep(await System.start({ env }));
      const [host = '', port] = testServers().temporalAddress.split(':');
      const line = keep(await TcpProxy.start(host, Number(port)));
      const cutOff = keep(await System.start({ like: first, temporalAddress: line.address, env }));
      const receiver = keep(await Receiver.start());
      const account = await cutOff.account();
      await account.endpoint({ url: receiver.url });
      await account.publish();
      await receiver.got(1);
      line.cut();
      for (let count = 0; count < 20; count += 1) await account.publish();
      await delivered(account, 21);
      expect(new Set(ids(receiver)).size).toBe(21);
      line.mend();
      await account.publish();
      await delivered(account, 22);
    },
  );

  // Whether it is cut off is asked of the one process that is.
  itInOneProcess('send by express what may go that way, however long Temporal is away', async () => {
    const [host = '', port] = testServers().temporalAddress.split(':');
    const line = keep(await TcpProxy.start(host, Number(port)));
    const system = keep(
      await System.start({ temporalAddress: line.address, env: { POSTHORN_LANE: 'auto' } }),
    );
    const start = async () => keep(await Receiver.start());
    const receivers = [await start(), await start(), await start()] as const;
    const account = await system.account();
    await account.endpoint({ url: receivers[0].url, eventTypes: ['invoice.paid'] });
    const durable = ['found.out', 'invoice.paid'];
    await account.endpoint({ url: receivers[1].url, eventTypes: durable, lane: 'durable' });
    await account.endpoint({ url: receivers[2].url, eventTypes: ['put.by'], paused: true });
    for (let count = 0; count < 5; count += 1) await account.publish({ type: 'put.by' });
    line.cut();
    await account.publish({ type: 'found.out' });
    await until(() => system.get(Dispatcher).isCutOff, Boolean);
    const events = [];
    for (let count = 0; count < EVENTS; count += 1) events.push((await account.publish()).id);
    await receivers[0].got(EVENTS);
    expect(ids(receivers[0]).sort()).toEqual(events.sort());
    // As if no process had had room for them.
    await system.sql(
      `WITH resumed AS (UPDATE endpoints SET paused = false WHERE paused AND account_id = $1 RETURNING id)
       UPDATE deliveries d SET status = 'pending', status_reason = NULL, due_at = NULL FROM resumed r
        WHERE d.endpoint_id = r.id`,
      [fromId('account', account.id)],
    );
    await receivers[2].got(5);
    expect(receivers[1].received).toHaveLength(0);
    line.mend();
    await delivered(account, 1 + 2 * EVENTS + 5);
  });

  it.each(LANES)('send what one that was killed had in hand, in the lane %s', async (lane) => {
    const api = keep(await System.start({ env: { POSTHORN_ROLES: 'api', POSTHORN_LANE: lane } }));
    const doomed = await PosthornProcess.beside(api, { POSTHORN_ROLES: 'api,worker' });
    cleanup.push(() => doomed.end('SIGKILL'));
    const gate = new Gate();
    const receiver = keep(await Receiver.start(gate.answer));
    const account = await api.account();
    await account.endpoint({ url: receiver.url, maxInFlight: 1 });
    const publish = async () => {
      const response = await fetch(`${doomed.url}/v1${account.path}/events`, {
        method: 'POST',
        headers: { authorization: `Bearer ${api.rootKey}`, 'content-type': 'application/json' },
        body: JSON.stringify({ type: 'a.b', data: 1 }),
      });
      expect(response.status).toBe(202);
      return ((await response.json()) as { id: string }).id;
    };
    const sent = await publish();
    await receiver.got(1);
    const unsent = await Promise.all(Array.from({ length: 10 }, publish));
    await doomed.end('SIGKILL');
    gate.open();
    keep(await System.start({ like: api, env: { POSTHORN_ROLES: 'worker' } }));
    await delivered(account, 11);
    expect(
      ids(receiver)
        .filter((id) => id !== sent)
        .sort(),
    ).toEqual(unsent.sort());
    // Nobody can know that it had arrived.
    expect(ids(receiver).filter((id) => id === sent)).toHaveLength(2);
  });

  it('give back at once what they have not sent when they are stopped', async () => {
    const database = await createDatabase();
    cleanup.push(() => database.drop());
    const leaving = await System.start({ databaseUrl: database.url, env: { POSTHORN_LANE: 'express' } });
    const gate = new Gate();
    const receiver = keep(
      await Receiver.start((response, received, count, request) => {
        if (count === 1) gate.answer(response, received, count, request);
        else response.end();
      }),
    );
    const account = await leaving.account();
    await account.endpoint({ url: receiver.url, maxInFlight: 1 });
    const sent = await account.publish();
    await receiver.got(1);
    const unsent = await Promise.all(Array.from({ length: 10 }, () => account.publish()));
    // Not before: it might have begun the one that is waited for.
    const other = keep(await System.start({ like: leaving }));
    const stopped = leaving.stop();
    const seen = new Account(other, account.id);
    // While the one that has begun is still waited for.
    await delivered(seen, 10);
    gate.open();
    await stopped;
    await delivered(seen, 11);
    expect(ids(receiver).sort()).toEqual([sent, ...unsent].map(({ id }) => id).sort());
  });
});
