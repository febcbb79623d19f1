import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import pg from 'pg';
import { fromId } from '../../src/common/ids.js';
import { makeEndpoints } from '../support/many-endpoints.js';
import { Receiver } from '../support/receiver.js';
import { createDatabase } from '../support/servers.js';
import { Account, System } from '../support/system.js';
import { until } from '../support/until.js';

const ENDPOINTS = 2_500;
/** Two pages of deliveries are made before the one that this endpoint is of. */
const STUMBLING_BLOCK = 1_200;

/** Milliseconds, for each test: thousands of requests on a busy machine. */
jest.setTimeout(180_000);
/** Of a request. Receiver and Posthorn share a process here, and a thousand are under way in it. */
const TIMEOUT_MS = 30_000;

describe('an event for thousands of endpoints', () => {
  let database: { url: string; drop: () => Promise<void> };
  let receiver: Receiver;

  beforeEach(async () => {
    database = await createDatabase();
    receiver = await Receiver.start();
  });
  afterEach(async () => {
    for (const system of [...running]) await stop(system);
    await receiver.stop();
    await database.drop();
  });

  const running = new Set<System>();
  const start = async (options: Parameters<typeof System.start>[0] = {}) => {
    const system = await System.start({ databaseUrl: database.url, ...options });
    running.add(system);
    return system;
  };
  const stop = async (system: System) => {
    running.delete(system);
    await system.stop();
  };

  /** An account whose endpoints are told apart by the path of their URL. */
  const accountWithEndpoints = async (system: System): Promise<Account> => {
    const account = await system.account();
    await makeEndpoints(system, account, { count: ENDPOINTS, url: receiver.url, timeoutMs: TIMEOUT_MS });
    return account;
  };
  const made = async (system: System) => {
    const [row] = await system.sql<Record<'all' | 'endpoints' | 'delivered' | 'open' | 'owed', number>>(
      `SELECT count(*)::int AS all, count(DISTINCT endpoint_id)::int AS endpoints,
         (count(*) FILTER (WHERE status = 'delivered'))::int AS delivered,
         (count(*) FILTER (WHERE status IN ('pending', 'retrying')))::int AS open,
         (SELECT count(*)::int FROM fanouts) AS owed
        FROM deliveries`,
    );
    return row ?? { all: 0, endpoints: 0, delivered: 0, open: 0, owed: 0 };
  };
  const allArriveOnce = async (system: System) => {
    const finished = await until(
      () => made(system),
      ({ all, open, owed }) => all > 0 && open === 0 && owed === 0,
      120_000,
    );
    const wrong = `SELECT DISTINCT outcome, error_code, error_detail FROM attempts WHERE outcome <> 'delivered'`;
    expect(await system.sql(wrong)).toEqual([]);
    expect(finished).toEqual({
      all: ENDPOINTS,
      endpoints: ENDPOINTS,
      delivered: ENDPOINTS,
      open: 0,
      owed: 0,
    });
    expect(receiver.received).toHaveLength(ENDPOINTS);
    expect(new Set(receiver.received.map(({ path }) => path)).size).toBe(ENDPOINTS);
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  };

  it('is accepted at once and goes to each of them once', async () => {
    const system = await start({ env: { POSTHORN_LANE: 'express' } });
    const account = await accountWithEndpoints(system);
    expect(await account.publish({ priority: 'low' })).toMatchObject({
      matched: ENDPOINTS,
      duplicate: false,
    });
    await allArriveOnce(system);
    expect(await account.deliveries('priority=low')).toHaveLength(250);
  });

  /** From now on no delivery is made of which `condition` is true. */
  const stumble = (system: System, condition: string) =>
    system.sql(`
      CREATE OR REPLACE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF ${condition} THEN
          RAISE 'no further';
        END IF;
        RETURN NEW;
      END $$`);
  const letStumble = (system: System) =>
    system.sql('CREATE TRIGGER stumble BEFORE INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION stumble()');

  it('does not wait for all those of an account that has published many before it', async () => {
    const system = await start({ env: { POSTHORN_ROLES: 'api' } });
    await stumble(system, 'true');
    await letStumble(system);
    const [many, one] = [await accountWithEndpoints(system), await accountWithEndpoints(system)];
    for (let published = 0; published < 4; published += 1) await many.publish();
    await one.publish();
    await stumble(system, 'false');
    await until(
      () => made(system),
      ({ owed }) => owed === 0,
    );
    const lastOf = await system.sql<{ account_id: string; last: string }>(
      'SELECT account_id, max(id::text) AS last FROM deliveries GROUP BY 1 ORDER BY last',
    );
    expect(lastOf.map(({ account_id: id }) => id)).toEqual(
      [one, many].map(({ id }) => fromId('account', id)),
    );
  });

  it('keeps no other waiting where it cannot be made, and is made once it can', async () => {
    const system = await start({ env: { POSTHORN_ROLES: 'api' } });
    const [first, second] = [await accountWithEndpoints(system), await accountWithEndpoints(system)];
    await stumble(system, `NEW.account_id = '${fromId('account', first.id) ?? ''}'`);
    await letStumble(system);
    await first.publish();
    await second.publish();
    await until(
      () => made(system),
      ({ all, owed }) => all === ENDPOINTS && owed === 1,
    );
    await stumble(system, 'false');
    await until(
      () => made(system),
      ({ all, owed }) => all === 2 * ENDPOINTS && owed === 0,
    );
  });

  it('keeps nobody else waiting whose events go to few, however long its commit takes', async () => {
    const system = await start({ env: { POSTHORN_ROLES: 'api' } });
    const wide = await accountWithEndpoints(system);
    const other = await system.account();
    await wide.publish();
    const client = new pg.Client(system.databaseUrl);
    await client.connect();
    try {
      await client.query('BEGIN');
      for (const externalId of ['one', 'two', 'three']) {
        await client.query(
          'INSERT INTO event_external_ids (account_id, external_id, event_id) VALUES ($1, $2, gen_random_uuid())',
          [fromId('account', wide.id), externalId],
        );
      }
      const waiting = () =>
        system.sql(
          `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
        );
      const slow: Promise<unknown>[] = [];
      for (const externalId of ['one', 'two']) {
        slow.push(wide.publish({ externalId }));
        await until(waiting, ({ length }) => length > 0);
      }
      const publishMany = (account: Account, ...externalIds: (string | undefined)[]) =>
        system.ok('POST', `${account.path}/events/batch`, {
          events: externalIds.map((externalId) => ({ type: 'some.type', data: 1, externalId })),
        });
      slow.push(publishMany(wide, 'three', undefined));
      await until(waiting, ({ length }) => length > 1);
      for (let published = 0; published < 5; published += 1) {
        await other.publish();
        await publishMany(other, undefined, undefined);
      }
      await client.query('ROLLBACK');
      await Promise.all(slow);
    } finally {
      await client.end();
    }
  });

  it('goes to each of them once when the process stops midway and another goes on', async () => {
    const first = await start({ env: { POSTHORN_ROLES: 'api', POSTHORN_LANE: 'express' } });
    const account = await accountWithEndpoints(first);
    await stumble(
      first,
      `(SELECT url FROM endpoints WHERE id = NEW.endpoint_id) LIKE '%/${STUMBLING_BLOCK}'`,
    );
    await letStumble(first);
    expect(await account.publish()).toMatchObject({ matched: ENDPOINTS });
    const halted = await until(
      () => made(first),
      ({ all }) => all >= STUMBLING_BLOCK - 500,
    );
    expect(halted.all).toBeLessThan(STUMBLING_BLOCK);
    expect(halted).toMatchObject({ endpoints: halted.all, owed: 1 });
    await stop(first);
    const second = await start({ like: first, env: { POSTHORN_ROLES: 'api,worker' } });
    // Without the locks that dropping the trigger would take from under a running process.
    await stumble(second, 'false');
    await allArriveOnce(second);
  });

  it('is matched as the endpoints were when it was published: one made later gets nothing', async () => {
    const system = await start({ env: { POSTHORN_ROLES: 'api' } });
    const account = await accountWithEndpoints(system);
    const event = await account.publish();
    const later = await account.endpoint({ url: receiver.url });
    await until(
      () => made(system),
      ({ owed }) => owed === 0,
    );
    expect(await made(system)).toMatchObject({ all: ENDPOINTS, endpoints: ENDPOINTS });
    expect(await account.deliveries(`eventId=${event.id}&endpointId=${later.id}`)).toEqual([]);
  });
});
