import { afterEach, describe, expect, it } from '@jest/globals';
import { AN_HOUR, Collecting, numbersIn } from '../support/batches.js';
import { PosthornProcess } from '../support/process.js';
import { Receiver } from '../support/receiver.js';
import { testServers } from '../support/servers.js';
import { System } from '../support/system.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';

describe('events that are collected', () => {
  const cleanup: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const clean of cleanup.splice(0).reverse()) await clean();
  });
  const keep = <T extends { stop: () => Promise<unknown> }>(thing: T): T => {
    cleanup.push(() => thing.stop());
    return thing;
  };

  it.each(['durable', 'express'])(
    'go once, whoever publishes and whoever seals, in the lane %s',
    async (lane) => {
      const api = keep(await System.start({ env: { POSTHORN_ROLES: 'api', POSTHORN_LANE: lane } }));
      for (let count = 0; count < 2; count += 1)
        keep(await System.start({ like: api, env: { POSTHORN_ROLES: 'worker' } }));
      const receiver = keep(await Receiver.start());
      const collecting = new Collecting(await api.account(), receiver);
      await collecting.endpoint({ maxEvents: 7, maxWaitSeconds: 2 });
      await Promise.all(Array.from({ length: 200 }, (_, n) => collecting.publish(n)));
      await until(
        () => receiver.received.flatMap(numbersIn).length,
        (count) => count >= 200,
      );
      expect(receiver.received.flatMap(numbersIn).toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: 200 }, (_, n) => n),
      );
      for (const received of receiver.received) expect(numbersIn(received).length).toBeLessThanOrEqual(7);
    },
  );

  it('are sent by another process when the one that took them is killed before they are', async () => {
    const api = keep(await System.start({ env: { POSTHORN_ROLES: 'api' } }));
    const receiver = keep(await Receiver.start());
    const collecting = new Collecting(await api.account(), receiver);
    await collecting.endpoint({ maxEvents: 10, maxWaitSeconds: 3 });
    const doomed = await PosthornProcess.beside(api, { POSTHORN_ROLES: 'api,worker' });
    cleanup.push(() => doomed.end('SIGKILL'));
    const publish = async (n: number) => {
      const response = await fetch(`${doomed.url}/v1${collecting.account.path}/events`, {
        method: 'POST',
        headers: { authorization: `Bearer ${api.rootKey}`, 'content-type': 'application/json' },
        body: JSON.stringify({ type: 'counted.event', data: { n } }),
      });
      expect(response.status).toBe(202);
    };
    await Promise.all([publish(1), publish(2), publish(3)]);
    await doomed.end('SIGKILL');
    expect(receiver.received).toHaveLength(0);
    keep(await System.start({ like: api, env: { POSTHORN_ROLES: 'worker' } }));
    const [received] = await receiver.got(1);
    expect(received && numbersIn(received).toSorted()).toEqual([1, 2, 3]);
  });

  it('are sent in time while Temporal is away, where the lane needs none, and after it otherwise', async () => {
    const [host = '', port = ''] = testServers().temporalAddress.split(':');
    const line = keep(await TcpProxy.start(host, Number(port)));
    const system = keep(await System.start({ temporalAddress: line.address }));
    const receivers = [keep(await Receiver.start()), keep(await Receiver.start())] as const;
    const account = await system.account();
    const [express, durable] = receivers.map((receiver) => new Collecting(account, receiver));
    await express?.endpoint({ maxWaitSeconds: 1 }, { lane: 'express' });
    await durable?.endpoint({ maxEvents: 2, maxWaitSeconds: AN_HOUR }, { lane: 'durable' });
    line.cut();
    await express?.publish(1);
    await express?.publish(2);
    const [received] = await receivers[0].got(1);
    expect(received && numbersIn(received)).toEqual([1, 2]);
    expect(receivers[1].received).toHaveLength(0);
    line.mend();
    const [later] = await receivers[1].got(1);
    expect(later && numbersIn(later)).toEqual([1, 2]);
  });
});
