import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { fromId } from '../../src/common/ids.js';
import { Database } from '../../src/database/database.js';
import { WideAccounts } from '../../src/events/wide-accounts.js';
import { Gate } from '../support/gate.js';
import { makeEndpoints } from '../support/many-endpoints.js';
import { itInOneProcess } from '../support/one-process.js';
import { Receiver } from '../support/receiver.js';
import { createDatabase } from '../support/servers.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

/** Attempts that a process has under way at once by express. */
const MOST = 2_000;

describe('an account with thousands of endpoints', () => {
  let system: System;
  let account: Account;
  let receiver: Receiver;
  let gate: Gate;
  let database: { url: string; drop: () => Promise<void> };

  beforeEach(async () => {
    database = await createDatabase();
    system = await System.start({ databaseUrl: database.url, env: { POSTHORN_LANE: 'express' } });
    gate = new Gate();
    receiver = await Receiver.start(gate.answer);
    account = await system.account();
    await makeEndpoints(system, account, { count: MOST + 100, url: receiver.url, timeoutMs: 30_000 });
  });
  afterEach(async () => {
    gate.open();
    await system.stop();
    await receiver.stop();
    await database.drop();
  });

  // Each process has its own places.
  itInOneProcess('leaves places to others, however many of its receivers hang', async () => {
    await account.publish();
    // It has its share once no more come: by then a delivery of somebody else's has.
    await receiver.got(MOST / 2);
    const other = await system.account();
    const healthy = await Receiver.start();
    await other.endpoint({ url: healthy.url });
    for (let count = 0; count < 5; count += 1) {
      const event = await other.publish();
      await other.deliveryOf(event, ({ status }) => status === 'delivered');
    }
    const [row] = await system.sql<{ attempted: number }>(
      `SELECT count(*)::int AS attempted FROM deliveries WHERE account_id = $1 AND attempt_count > 0`,
      [fromId('account', account.id)],
    );
    expect(row).toEqual({ attempted: 0 });
    expect(gate.held).toBeLessThan(MOST);
    await healthy.stop();
  });

  it('is known to be one even where hardly any of them wants what it publishes', async () => {
    gate.open();
    const other = await system.account();
    const reader = new Database(database.url, 2);
    await reader.open();
    try {
      const wide = new WideAccounts(reader);
      const [many, few] = [account, other].map(({ id }) => fromId('account', id) ?? '');
      const found = await until(
        () => [many, few].map((id) => wide.has(id ?? '')),
        ([isWide]) => isWide === true,
      );
      expect(found).toEqual([true, false]);
      await wide.drained();
    } finally {
      await reader.close();
    }
  });
});
