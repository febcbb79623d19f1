import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { SETTINGS } from '../../src/config/settings.js';
import { answering, ConnectProxy, relay } from '../support/connect-proxy.js';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

describe.each(['durable', 'express'] as const)(
  'deliveries through the egress proxy in the lane %s',
  (lane) => {
    let proxy: ConnectProxy;
    let system: System;
    let account: Account;
    let receiver: Receiver;

    beforeAll(async () => {
      proxy = await ConnectProxy.start();
      const url = proxy.url.replace('//', '//posthorn:hunter2@');
      system = await System.start({ env: { POSTHORN_LANE: lane, POSTHORN_EGRESS_PROXY: url } });
    });
    afterAll(async () => {
      await system.stop();
      await proxy.stop();
    });
    beforeEach(async () => {
      proxy.does(relay);
      proxy.asked.length = 0;
      account = await system.account();
      receiver = await Receiver.start();
    });
    afterEach(() => receiver.stop());

    it('arrive, and nothing is sent beside it', async () => {
      await account.endpoint({ url: receiver.url });
      await account.publish();
      const [received] = await receiver.got(1);
      expect(proxy.asked).toEqual([new URL(receiver.url).host]);
      expect(proxy.credentials.at(-1)).toBe(`Basic ${Buffer.from('posthorn:hunter2').toString('base64')}`);
      expect(received?.headers['proxy-authorization']).toBeUndefined();
    });

    it('are not charged for a proxy that wants other credentials, and arrive when it takes them', async () => {
      proxy.does(
        answering('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="way out"'),
      );
      await account.endpoint({ url: receiver.url });
      const event = await account.publish();
      await until(
        () => proxy.asked.length,
        (count) => count >= 2,
      );
      expect((await account.deliveryOf(event)).attemptCount).toBe(0);
      proxy.does(relay);
      await receiver.got(1);
      const { id } = await account.deliveryOf(event, ({ status }) => status === 'delivered');
      expect((await account.delivery(id)).attempts).toMatchObject([{ number: 1, outcome: 'delivered' }]);
    });

    it('fail at once, as by an egress rule, where the proxy refuses the receiver', async () => {
      proxy.does(answering('HTTP/1.1 403 Forbidden'));
      await account.endpoint({ url: receiver.url });
      const event = await account.publish();
      const { id } = await account.deliveryOf(event, ({ status }) => status === 'failed');
      expect((await account.delivery(id)).attempts).toMatchObject([
        { outcome: 'blocked', errorCode: 'proxy_refused' },
      ]);
    });

    it('are charged for a receiver that the proxy cannot reach', async () => {
      const { url } = receiver;
      await receiver.stop();
      await account.endpoint({ url, retrySchedule: [3600] });
      const event = await account.publish();
      const { id } = await account.deliveryOf(event, ({ attemptCount }) => attemptCount === 1);
      const delivery = await account.delivery(id);
      expect(delivery.attempts).toMatchObject([{ outcome: 'transient', errorCode: 'proxy_connect_failed' }]);
      expect(JSON.stringify(delivery)).not.toMatch(/hunter2|proxy-authorization/i);
    });
  },
);

describe('the address of the egress proxy', () => {
  it('is a secret setting, since a password is in it', () => {
    expect(SETTINGS.POSTHORN_EGRESS_PROXY).toMatchObject({ secret: true });
  });
});
