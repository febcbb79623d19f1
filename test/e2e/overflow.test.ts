import { afterEach, beforeEach, describe, expect } from '@jest/globals';
import { itInOneProcess } from '../support/one-process.js';
import { Receiver } from '../support/receiver.js';
import { createDatabase } from '../support/servers.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

/** Deliveries that wait in one process while there is room for others, and some more. */
const ROOM = 2_500;
const MANY = 6_000;

describe('more deliveries than a process has room for', () => {
  let database: { url: string; drop: () => Promise<void> };
  let system: System;
  let receiver: Receiver;

  beforeEach(async () => {
    database = await createDatabase();
    receiver = await Receiver.start();
    system = await System.start({
      databaseUrl: database.url,
      env: { POSTHORN_LANE: 'express', POSTHORN_WAITING_DELIVERIES: String(2 * ROOM) },
    });
  });
  afterEach(async () => {
    await system.stop();
    await receiver.stop();
    await database.drop();
  });

  const count = async (condition: string) => {
    const [row] = await system.sql<{ count: number }>(
      `SELECT count(*)::int AS count FROM deliveries WHERE ${condition}`,
    );
    return row?.count ?? 0;
  };
  const flood = async (account: Account) => {
    for (let published = 0; published < MANY; published += 1_000)
      await system.ok('POST', `${account.path}/events/batch`, {
        events: Array.from({ length: 1_000 }, (_, n) => ({ type: 'some.type', data: { n } })),
      });
  };

  // Each process has its own room.
  itInOneProcess(
    'are put by, hold up nobody, and come back, in another process too',
    async () => {
      const account = await system.account();
      const slow = { url: receiver.url, rateLimit: { perSecond: 1 } };
      const { id } = await account.endpoint(slow);
      await flood(account);
      await until(
        () => count(`status = 'pending' AND due_at IS NULL`),
        (putBy) => putBy > (MANY - ROOM) / 2,
        30_000,
      );
      // Nobody has to look past them.
      await until(
        () => count(`due_at <= now()`),
        (due) => due < 100,
        30_000,
      );
      const other = await system.account();
      const healthy = await Receiver.start();
      await other.endpoint({ url: healthy.url });
      await other.deliveryOf(await other.publish(), ({ status }) => status === 'delivered');
      await healthy.stop();

      await system.stop();
      system = await System.start({ like: system });
      await system.ok('PATCH', `${account.path}/endpoints/${id}`, { rateLimit: null });
      await until(
        () => count(`status = 'delivered'`),
        (delivered) => delivered === MANY + 1,
        90_000,
      );
      expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(MANY);
    },
    180_000,
  );
});
