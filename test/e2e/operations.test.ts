import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';

describe('operating a system', () => {
  let system: System;
  let account: Account;

  const metrics = (key: string, url = system.url) =>
    fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${key}` } });
  const keyWith = async (path: string, scopes?: string[]) =>
    (await system.ok<{ secret: string }>('POST', path, { name: 'x', ...(scopes ? { scopes } : {}) })).secret;

  beforeAll(async () => {
    system = await System.start();
    account = await system.account();
  });
  afterAll(() => system.stop());

  it('tells without a key that the process is alive and what it depends on', async () => {
    const alive = await fetch(`${system.url}/healthz`);
    expect([alive.status, await alive.json()]).toEqual([200, { status: 'ok' }]);
    const ready = await fetch(`${system.url}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([
      200,
      { status: 'ok', checks: { database: 'ok', temporal: 'ok' } },
    ]);
  });

  it('shows metrics to an operator key with the scope, and to nobody else', async () => {
    expect((await fetch(`${system.url}/metrics`)).status).toBe(401);
    expect((await metrics(await keyWith(`${account.path}/keys`))).status).toBe(403);
    expect((await metrics(await keyWith('/keys', ['accounts:read']))).status).toBe(403);
    const shown = await metrics(await keyWith('/keys', ['metrics:read']));
    expect([shown.status, shown.headers.get('content-type')]).toEqual([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
    ]);
    expect(await shown.text()).toContain('# TYPE posthorn_attempts_total counter');
  });

  it('counts events and attempts, and names no customer', async () => {
    const receiver = await Receiver.start();
    try {
      await account.endpoint({ url: receiver.url });
      const event = await account.publish({ type: 'secret.project', externalId: 'once' });
      await account.publish({ type: 'secret.project', externalId: 'once' });
      await account.deliveryOf(event, ({ status }) => status === 'delivered');
      // Each process counts what it did itself; Prometheus adds them up.
      const texts = await Promise.all(
        system.processes.map(async (url) => (await metrics(system.rootKey, url)).text()),
      );
      const total = (name: string) =>
        texts
          .flatMap((text) => text.split('\n'))
          .filter((line) => line.startsWith(`${name} `))
          .reduce((sum, line) => sum + Number(line.slice(name.length)), 0);
      expect(total('posthorn_events_published_total')).toBe(1);
      expect(total('posthorn_attempts_total{outcome="delivered"}')).toBe(1);
      for (const text of texts) {
        expect(text).toMatch(/^posthorn_dispatch_backlog \d+$/m);
        expect(text).not.toMatch(/secret\.project|acc_|127\.0\.0\.1/);
      }
    } finally {
      await receiver.stop();
    }
  });
});
