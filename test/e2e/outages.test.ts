import { afterEach, describe, expect, it } from '@jest/globals';
import { PosthornProcess } from '../support/process.js';
import { Receiver } from '../support/receiver.js';
import { createDatabase, testServers } from '../support/servers.js';
import { System } from '../support/system.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { startOwnTemporal } from '../support/temporal.js';
import { until } from '../support/until.js';

describe('when something of ours is down', () => {
  const cleanup: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const clean of cleanup.splice(0).reverse()) await clean();
  });
  const keep = <T extends { stop: () => Promise<unknown> }>(thing: T): T => {
    cleanup.push(() => thing.stop());
    return thing;
  };

  /** A system whose database is reached through a line that can be cut. */
  const behindDatabaseProxy = async (env: Record<string, string> = {}) => {
    const database = await createDatabase();
    cleanup.push(() => database.drop());
    const url = new URL(database.url);
    const line = keep(await TcpProxy.start(url.hostname, Number(url.port)));
    url.host = line.address;
    return { system: keep(await System.start({ databaseUrl: url.href, env })), line };
  };

  const ready = (system: System) =>
    until(
      () => Promise.all(system.processes.map(async (url) => (await fetch(`${url}/readyz`)).status)),
      (statuses) => statuses.every((status) => status === 200),
    );

  const behindTemporalProxy = async () => {
    const [host = '', port = ''] = testServers().temporalAddress.split(':');
    const line = keep(await TcpProxy.start(host, Number(port)));
    return { system: keep(await System.start({ temporalAddress: line.address })), line };
  };

  it('answers 503 while the database is away, and works again by itself', async () => {
    const { system, line } = await behindDatabaseProxy();
    const account = await system.account();
    line.cut();
    const answer = await system.call('POST', `${account.path}/events`, { type: 'a.b', data: 1 });
    expect([answer.status, answer.body.code]).toEqual([503, 'unavailable']);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    const readiness = await fetch(`${system.url}/readyz`);
    expect([readiness.status, await readiness.json()]).toMatchObject([
      503,
      { checks: { database: 'unavailable' } },
    ]);
    expect((await fetch(`${system.url}/healthz`)).status).toBe(200);
    line.mend();
    await ready(system);
    expect((await account.publish()).matched).toBe(0);
  });

  it('does not send again, nor forget the outcome, when the database goes while a receiver answers', async () => {
    const { system, line } = await behindDatabaseProxy();
    const account = await system.account();
    const receiver = keep(
      await Receiver.start((response, _received, count) => {
        line.cut();
        response.writeHead(count === 1 ? 200 : 500).end('kept');
      }),
    );
    await account.endpoint({ url: receiver.url });
    const event = await account.publish();
    await receiver.got(1);
    line.mend();
    await ready(system);
    const delivery = await account.deliveryOf(event, ({ status }) => status === 'delivered');
    expect(delivery.attemptCount).toBe(1);
    const shown = await until(
      () => account.delivery(delivery.id),
      ({ attempts }) => attempts[0]?.response !== null,
    );
    expect(shown.attempts[0]?.response?.body).toBe('kept');
    expect(receiver.received).toHaveLength(1);
  });

  it('waits out a database that is away when an attempt is due, at no cost to the schedule', async () => {
    const { system, line } = await behindDatabaseProxy();
    const account = await system.account();
    const receiver = keep(
      await Receiver.start((response, _received, count) => response.writeHead(count === 1 ? 500 : 200).end()),
    );
    await account.endpoint({ url: receiver.url, retrySchedule: [1] });
    const event = await account.publish();
    await account.deliveryOf(event, ({ status }) => status === 'retrying');
    line.cut();
    // Long enough for the retry to come due and fail for our reasons.
    await until(Date.now, (now) => now > (receiver.received[0]?.atMs ?? 0) + 2500);
    line.mend();
    await ready(system);
    const delivery = await account.deliveryOf(event, ({ status }) => status === 'delivered');
    expect(delivery.attemptCount).toBe(2);
    expect(receiver.received).toHaveLength(2);
  });

  it('accepts events while Temporal is away, shows the record, and delivers them once it is back', async () => {
    const { system, line } = await behindTemporalProxy();
    const account = await system.account();
    const receiver = keep(await Receiver.answering(500));
    await account.endpoint({ url: receiver.url, retrySchedule: [3600] });
    const before = await account.publish();
    const sleeping = await account.deliveryOf(before, ({ status }) => status === 'retrying');
    line.cut();
    // Before anything is published: without Temporal, first attempts may be made express at any moment.
    receiver.answers((response) => response.end());
    const events = await Promise.all(Array.from({ length: 10 }, () => account.publish()));
    expect(await account.delivery(sleeping.id)).toMatchObject({
      live: false,
      status: 'retrying',
      attemptCount: 1,
    });
    expect((await system.call('POST', `${account.path}/deliveries/${sleeping.id}/retry`)).status).toBe(202);
    expect((await fetch(`${system.url}/readyz`)).status).toBe(503);
    line.mend();
    for (const event of [before, ...events]) {
      await account.deliveryOf(event, ({ status }) => status === 'delivered');
    }
    expect(receiver.received).toHaveLength(12);
  });

  it('delivers all 500 that were retrying after the database of Temporal was deleted', async () => {
    const first = await startOwnTemporal();
    let current = first;
    cleanup.push(() => current.remove());
    const database = await createDatabase();
    cleanup.push(() => database.drop());
    const system = await System.start({
      databaseUrl: database.url,
      temporalAddress: first.address,
      env: { POSTHORN_RETRIES_PER_SECOND: '1000' },
    });
    const receiver = keep(await Receiver.answering(500));
    // Of several accounts, since each has ten retries a second.
    for (let count = 0; count < 5; count += 1) {
      const account = await system.account();
      await account.endpoint({ url: receiver.url, retrySchedule: [20, 20, 20] });
      const events = Array.from({ length: 100 }, (_, index) => ({ type: 'bulk.one', data: { index } }));
      await system.ok('POST', `${account.path}/events/batch`, { events });
    }
    const retrying = async () => {
      const [row] = await system.sql<{ count: number }>(
        "SELECT count(*)::int AS count FROM deliveries WHERE status = 'retrying'",
      );
      return row?.count ?? 0;
    };
    await until(retrying, (count) => count === 500, 60_000);
    await system.stop();
    await first.remove();
    current = await startOwnTemporal();
    receiver.answers((response) => response.end());
    const again = keep(await System.start({ like: system, temporalAddress: current.address }));
    await until(
      async () => {
        const [row] = await again.sql<{ count: number }>(
          "SELECT count(*)::int AS count FROM deliveries WHERE status = 'delivered'",
        );
        return row?.count ?? 0;
      },
      (count) => count === 500,
      120_000,
    );
    const numbers = await again.sql<{ number: number; trigger: string }>(
      'SELECT number, trigger, count(*) FROM attempts GROUP BY 1, 2 ORDER BY 1',
    );
    // Nobody started over: each went on at the attempt it had reached.
    expect(numbers.length).toBeGreaterThan(1);
    expect(numbers.every(({ trigger }) => trigger === 'schedule')).toBe(true);
  }, 240_000);

  it('continues in another process what a killed one had begun', async () => {
    const shared = await System.start({ env: { POSTHORN_ROLES: 'api' } });
    keep(shared);
    const account = await shared.account();
    const receiver = keep(await Receiver.start(() => undefined));
    await account.endpoint({ url: receiver.url, timeoutMs: 30_000, retrySchedule: [1] });
    const worker = () => PosthornProcess.beside(shared, { POSTHORN_ROLES: 'worker' });
    const doomed = await worker();
    cleanup.push(() => doomed.end('SIGKILL'));
    const event = await account.publish();
    await receiver.got(1);
    await doomed.end('SIGKILL');
    receiver.answers((response) => response.end());
    const heir = await worker();
    cleanup.push(() => heir.end('SIGTERM'));
    const delivery = await account.deliveryOf(event, ({ status }) => status === 'delivered');
    expect(delivery.attemptCount).toBe(1);
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id']))).toEqual(
      new Set([event.id]),
    );
  });
});
