import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ConnectProxy } from '../support/connect-proxy.js';
import { totals } from '../support/metrics.js';
import { itInOneProcess } from '../support/one-process.js';
import { StoppableReceiver } from '../support/stoppable-receiver.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

/** Far more than the receiver's listen queue holds, and than one host may have of us here. */
const QUEUE = 16;
const CROWD = 32;
const ENDPOINTS = 600;

async function endpointsOn(account: Account, url: string, count: number): Promise<void> {
  const paths = Array.from({ length: count }, (_, index) => `/${index}`);
  while (paths.length > 0) {
    await Promise.all(
      paths.splice(0, 20).map((path) =>
        // Those that the queue has room for wait until the host goes on.
        account.endpoint({ url: `${url}${path}`, retrySchedule: [3600], timeoutMs: 30_000 }),
      ),
    );
  }
}

/** What became of an account's attempts. */
const attemptsOf = (system: System, account: Account) =>
  system.sql<{ outcome: string; error_code: string | null; count: number }>(
    `SELECT a.outcome, a.error_code, count(*)::int AS count FROM attempts a JOIN deliveries d ON d.id = a.delivery_id
      JOIN events e ON e.id = d.event_id WHERE e.type = $1 GROUP BY 1, 2 ORDER BY 1, 2`,
    [account.id],
  );

describe.each(['durable', 'express'] as const)('a host with very many endpoints in the lane %s', (lane) => {
  let system: System;

  const attempts = (account: Account) => attemptsOf(system, account);
  const crowdedOut = () => totals(system, 'posthorn_attempts_crowded_out_total');

  beforeAll(async () => {
    system = await System.start({ env: { POSTHORN_LANE: lane, POSTHORN_HOST_CROWD: String(CROWD) } });
  });
  afterAll(() => system.stop());

  // Each worker judges a host by the connections of its own: where another has all that stand, it finds the host dead.
  itInOneProcess(
    'that accepts none of ours for a while is charged for nothing, and gets everything once',
    async () => {
      const account = await system.account();
      const receiver = await StoppableReceiver.start(QUEUE);
      await endpointsOn(account, receiver.url, ENDPOINTS);
      receiver.stop();
      await account.publish({ type: account.id });
      await until(crowdedOut, (count) => count >= 20, 60_000);
      receiver.goOn();
      await until(
        () => attempts(account),
        (rows) => rows.reduce((sum, { count }) => sum + count, 0) >= ENDPOINTS,
        90_000,
      );
      expect(await attempts(account)).toEqual([{ outcome: 'delivered', error_code: null, count: ENDPOINTS }]);
      const expected = Array.from({ length: ENDPOINTS }, (_, index) => `/${index}`);
      expect(receiver.paths.toSorted()).toEqual(expected.toSorted());
      await receiver.end();
    },
    240_000,
  );

  it('that is dead is charged at once', async () => {
    const account = await system.account();
    const receiver = await StoppableReceiver.start(1);
    await endpointsOn(account, receiver.url, 3 * CROWD);
    await receiver.die();
    const before = await crowdedOut();
    await account.publish({ type: account.id });
    const rows = await until(
      () => attempts(account),
      (found) => found.reduce((sum, { count }) => sum + count, 0) >= 3 * CROWD,
      60_000,
    );
    expect(rows).toEqual([{ outcome: 'transient', error_code: 'connect_timeout', count: 3 * CROWD }]);
    expect(await crowdedOut()).toBe(before);
    await receiver.end();
  }, 120_000);
});

describe.each(['durable', 'express'] as const)('an attempt kept out by a crowd in the lane %s', (lane) => {
  it('is put off five times and no more', async () => {
    let tunnel: Promise<unknown> | undefined;
    // The first request stands at the host and is never answered; the others do not get there.
    const proxy = await ConnectProxy.start((_request, client) => {
      if (tunnel === undefined) {
        client.write('HTTP/1.1 200 OK\r\n\r\n');
        tunnel = once(client, 'data');
      } else void tunnel.then(() => client.end('HTTP/1.1 504 Gateway Timeout\r\n\r\n'));
    });
    const system = await System.start({
      env: { POSTHORN_LANE: lane, POSTHORN_HOST_CROWD: '1', POSTHORN_EGRESS_PROXY: proxy.url },
    });
    const account = await system.account();
    const url = 'http://127.0.0.1:4433/';
    for (let made = 0; made < 2; made += 1)
      await account.endpoint({ url, timeoutMs: 30_000, retrySchedule: [3600] });
    await account.publish({ type: account.id });
    const rows = await until(
      () => attemptsOf(system, account),
      (found) => found.length > 0,
    );
    expect(rows).toEqual([{ outcome: 'transient', error_code: 'proxy_connect_failed', count: 1 }]);
    expect(proxy.asked).toHaveLength(7);
    await proxy.stop();
    await system.stop();
  }, 90_000);
});
