import { afterEach, beforeEach, describe, expect } from '@jest/globals';
import { LANES } from '../../src/common/lane.js';
import { Gate } from '../support/gate.js';
import { makeEndpoints } from '../support/many-endpoints.js';
import { itInOneProcess } from '../support/one-process.js';
import { Receiver } from '../support/receiver.js';
import { createDatabase } from '../support/servers.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

const MIB = 1024 * 1024;
const LARGE = { text: 'x'.repeat(MIB - 16 * 1024) };
/** Of 64 MiB an account has half: no more begin once that much is being sent. */
const MOST_AT_ONCE = 33;
const ENDPOINTS = 60;

// Each process has room of its own.
itInOneProcess(
  'large events that wait for room are left to others as soon as their process is to stop',
  async () => {
    const database = await createDatabase();
    const system = await System.start({
      databaseUrl: database.url,
      env: { POSTHORN_LANE: 'express', POSTHORN_SHUTDOWN_SECONDS: '60' },
    });
    const gate = new Gate();
    const receiver = await Receiver.start(gate.answer);
    const account = await system.account();
    await makeEndpoints(system, account, { count: ENDPOINTS, url: receiver.url, timeoutMs: 30_000 });
    await account.publish({ data: LARGE });
    await receiver.got(MOST_AT_ONCE);
    const stopping = system.stop();
    // While what is being sent keeps the process from ending.
    await until(
      () => system.sql('SELECT id FROM deliveries WHERE lease IS NULL AND due_at <= now()'),
      (left) => left.length === ENDPOINTS - MOST_AT_ONCE,
      10_000,
    );
    expect(gate.held).toBe(MOST_AT_ONCE);
    gate.open();
    await stopping;
    await receiver.stop();
    await database.drop();
  },
);

describe.each(LANES)('large events in the lane %s', (lane) => {
  let system: System;
  let account: Account;
  let receiver: Receiver;
  let gate: Gate;

  beforeEach(async () => {
    system = await System.start({
      env: { POSTHORN_LANE: lane, POSTHORN_PUBLIC_URL: 'https://posthorn.example.com' },
    });
    gate = new Gate();
    receiver = await Receiver.start(gate.answer);
    account = await system.account();
  });
  afterEach(async () => {
    gate.open();
    await system.stop();
    await receiver.stop();
  });

  const ofAnother = async () => {
    const other = await system.account();
    const healthy = await Receiver.start();
    await other.endpoint({ url: healthy.url });
    const event = await other.publish({ data: LARGE });
    await other.deliveryOf(event, ({ status }) => status === 'delivered');
    await healthy.stop();
  };

  // Each process has room of its own.
  itInOneProcess('that nobody answers take no more memory than they leave to others', async () => {
    await makeEndpoints(system, account, { count: ENDPOINTS, url: receiver.url, timeoutMs: 30_000 });
    // What shows nothing of an event takes no room for it.
    const thin = await Receiver.start();
    await account.endpoint({ url: thin.url, payload: 'thin' });
    await account.publish({ data: LARGE });
    await receiver.got(MOST_AT_ONCE);
    await ofAnother();
    await thin.got(1);
    expect(gate.most).toBe(MOST_AT_ONCE);
    gate.open();
    await receiver.got(ENDPOINTS);
    const bodies = receiver.received.map(({ body }) => JSON.parse(body) as { data: unknown });
    for (const { data } of bodies) expect(data).toEqual(LARGE);
    expect(new Set(receiver.received.map(({ path }) => path)).size).toBe(ENDPOINTS);
    expect(receiver.received).toHaveLength(ENDPOINTS);
    await thin.stop();
  });
});
