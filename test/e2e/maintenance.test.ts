import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { CredentialExpiry } from '../../src/credentials/credential-expiry.js';
import { VersionSunsets } from '../../src/event-types/version-sunsets.js';
import { NotificationsService } from '../../src/notifications/notifications.service.js';
import { Database } from '../../src/database/database.js';
import { Maintenance } from '../../src/database/maintenance.js';
import { createLogger } from '../../src/logging/logger.js';
import { Retention } from '../../src/database/retention.js';
import { KeyRing } from '../../src/secrets/key-ring.js';
import { readSettings } from '../../src/config/settings.js';
import { Reencryption } from '../../src/secrets/reencryption.js';
import { fromId, uuidV7 } from '../../src/common/ids.js';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

describe('maintenance of the database', () => {
  let system: System;
  let database: Database;
  let writer: Database;
  let maintenance: Maintenance;
  beforeAll(async () => {
    system = await System.start();
    database = new Database(system.databaseUrl, 2);
    await database.open();
    writer = new Database(system.databaseUrl, 1);
    await writer.open();
    maintenance = maintenanceWith(new Retention(database, readSettings({})));
  });
  afterAll(async () => {
    await writer.close();
    await database.close();
    await system.stop();
  });

  const maintenanceWith = (retention: Retention) =>
    new Maintenance(
      database,
      new Reencryption(database, new KeyRing(system.encryptionKeys)),
      retention,
      new CredentialExpiry(database, system.get(NotificationsService)),
      system.get(VersionSunsets),
      createLogger('silent'),
    );

  const partitions = async () =>
    (
      await system.sql<{ name: string }>(
        `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'deliveries'::regclass ORDER BY 1`,
      )
    ).map(({ name }) => name);

  it('makes the partitions of the weeks to come again when they are missing', async () => {
    const before = await partitions();
    expect(before.length).toBeGreaterThanOrEqual(6);
    const last = before.filter((name) => /_\d{8}$/.test(name)).at(-1) ?? '';
    await system.sql(`DROP TABLE ${last}`);
    await maintenance.run();
    expect(await partitions()).toEqual(before);
  });

  it('goes on with the rest where a part of it fails', async () => {
    const account = await system.account();
    await system.ok('POST', `${account.path}/portal-tokens`, {});
    await system.sql('UPDATE portal_tokens SET expires_at = now()');
    const fails = { run: () => Promise.reject(new Error('too slow')) } as unknown as Retention;
    await maintenanceWith(fails).run();
    expect(await system.sql('SELECT FROM portal_tokens')).toEqual([]);
  });

  it('begins nothing more once the process is to end', async () => {
    await system.sql(
      `INSERT INTO limit_warnings (account_id, limit_name, day) SELECT id, 'any', now() - interval '9 days' FROM accounts LIMIT 1`,
    );
    const ending = maintenanceWith(new Retention(database, readSettings({})));
    await ending.close();
    await ending.run();
    expect(await system.sql('SELECT FROM limit_warnings')).toHaveLength(1);
    await maintenance.run();
    expect(await system.sql('SELECT FROM limit_warnings')).toEqual([]);
  });

  it('removes portal tokens that are over', async () => {
    const account = await system.account();
    const over = await system.ok<{ id: string }>('POST', `${account.path}/portal-tokens`, {});
    await system.sql('UPDATE portal_tokens SET expires_at = now()');
    await system.ok('POST', `${account.path}/portal-tokens`, {});
    await maintenance.run();
    expect(await system.sql('SELECT 1 FROM portal_tokens')).toHaveLength(1);
    expect((await system.call('DELETE', `${account.path}/portal-tokens/${over.id}`)).status).toBe(404);
  });

  it('keeps new rows out of the default partition', async () => {
    const account = await system.account();
    await account.publish();
    expect(await system.sql('SELECT 1 FROM events_default')).toEqual([]);
  });

  it('makes one row an hour of what endpoints came to more than a day ago, and forgets it after a week', async () => {
    const account = await system.account();
    await account.endpoint({ url: 'http://127.0.0.1:4433/', paused: true });
    await system.sql(
      `INSERT INTO endpoint_stats SELECT e.id, at, 2, 1, ARRAY[1, n, 0] FROM endpoints e, (
         SELECT n, date_trunc('hour', now() - interval '30 hours', 'UTC') + n * interval '5 minutes' AS at
           FROM generate_series(0, 11) n
         UNION ALL SELECT 0, now() - interval '10 minutes' UNION ALL SELECT 0, now() - interval '9 days') AS rows
        WHERE e.account_id = (SELECT id FROM accounts ORDER BY id DESC LIMIT 1)`,
    );
    await maintenance.run();
    await maintenance.run();
    expect(
      await system.sql('SELECT attempts, delivered, durations FROM endpoint_stats ORDER BY starts_at'),
    ).toEqual([
      { attempts: 24, delivered: 12, durations: [12, 66, 0] },
      { attempts: 2, delivered: 1, durations: [1, 0, 0] },
    ]);
  });

  it('removes idempotency keys after a day and secrets that have ended', async () => {
    await system.sql(
      `INSERT INTO idempotency_keys (owner, key, fingerprint, locked_until, created_at) VALUES
         ('operator', 'old', '', now(), now() - interval '25 hours'), ('operator', 'new', '', now(), now())`,
    );
    const account = await system.account();
    const ofAccount = `WHERE endpoint_id IN (SELECT id FROM endpoints WHERE account_id = (
      SELECT id FROM accounts ORDER BY id DESC LIMIT 1))`;
    const endpoint = await account.endpoint({ url: 'http://127.0.0.1:4433/', paused: true });
    const path = `${account.path}/endpoints/${endpoint.id}/secret/rotate`;
    await system.ok('POST', path, { overlapSeconds: 3600 });
    await system.sql(
      "UPDATE endpoint_secrets SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL",
    );
    await maintenance.run();
    expect(await system.sql('SELECT key FROM idempotency_keys')).toEqual([{ key: 'new' }]);
    expect(await system.sql(`SELECT 1 FROM endpoint_secrets ${ofAccount}`)).toHaveLength(1);
  });

  it('makes weeks once a long reader lets it, and keeps no publisher waiting until then', async () => {
    const account = await system.account();
    const lastWeek = async () => {
      const [row] = await system.sql<{ name: string }>(
        String.raw`SELECT relname AS name FROM pg_class WHERE relname ~ '^deliveries_\d{8}$' ORDER BY relname DESC LIMIT 1`,
      );
      return row?.name ?? '';
    };
    const last = await lastWeek();
    await system.sql(`DROP TABLE ${last}`);
    const run = () => maintenance.run();
    await writer.transaction(async (dump) => {
      await dump.query('SELECT FROM deliveries');
      const running = run();
      await until(
        () => system.sql(`SELECT 1 FROM pg_locks WHERE relation = 'deliveries'::regclass AND NOT granted`),
        (waiting) => waiting.length > 0,
      );
      await account.publish();
      await running;
    });
    expect(await lastWeek()).not.toBe(last);
    await run();
    expect(await lastWeek()).toBe(last);
  });

  describe('of what is older than it is to be kept', () => {
    const DAY_MS = 86_400_000;
    let account: Account;
    let receiver: Receiver;
    beforeEach(async () => {
      account = await system.account();
      receiver = await Receiver.start();
    });
    afterEach(() => receiver.stop());

    /** A delivered event with an external id, as if it were published so many days ago. */
    const publishedDaysAgo = async (days: number): Promise<string> => {
      const event = await account.publish({ externalId: `${days}-days-ago` });
      const delivery = await account.deliveryOf(event, ({ status }) => status === 'delivered');
      const atMs = Date.now() - days * DAY_MS;
      const [oldEvent, oldDelivery] = [uuidV7(atMs), uuidV7(atMs)];
      await system.sql(
        `SELECT posthorn_ensure_partitions($1::timestamptz, $1::timestamptz + interval '1 day')`,
        [new Date(atMs)],
      );
      const eventId = fromId('event', event.id);
      const deliveryId = fromId('delivery', delivery.id);
      await system.sql('UPDATE attempts SET delivery_id = $2 WHERE delivery_id = $1', [
        deliveryId,
        oldDelivery,
      ]);
      await system.sql('UPDATE deliveries SET id = $2, event_id = $3 WHERE id = $1', [
        deliveryId,
        oldDelivery,
        oldEvent,
      ]);
      await system.sql('UPDATE events SET id = $2 WHERE id = $1', [eventId, oldEvent]);
      await system.sql('INSERT INTO used_fetch_tokens (delivery_id, issued_at) VALUES ($1, $2)', [
        oldDelivery,
        atMs,
      ]);
      await system.sql('UPDATE event_external_ids SET event_id = $2 WHERE event_id = $1', [
        eventId,
        oldEvent,
      ]);
      return oldEvent;
    };
    const left = async (of: string) =>
      (
        await system.sql<{ table: string }>(
          `SELECT 'event' AS table FROM events WHERE id = $1
            UNION ALL SELECT 'delivery' FROM deliveries WHERE event_id = $1
            UNION ALL SELECT 'attempt' FROM attempts a JOIN deliveries d ON d.id = a.delivery_id WHERE d.event_id = $1
            UNION ALL SELECT 'fetch token' FROM used_fetch_tokens t JOIN deliveries d ON d.id = t.delivery_id WHERE d.event_id = $1
            UNION ALL SELECT 'external id' FROM event_external_ids WHERE event_id = $1`,
          [of],
        )
      ).map(({ table }) => table);
    /** Nobody sees to it within the test. */
    const OPEN = `UPDATE deliveries SET status = $2, due_at = now() + interval '1 hour' WHERE event_id = $1`;
    const ALL = ['event', 'delivery', 'attempt', 'fetch token', 'external id'];

    it('removes events with all that belongs to them after 90 days, and weeks of which nothing is left', async () => {
      await account.endpoint({ url: receiver.url });
      const [old, young] = [await publishedDaysAgo(91), await publishedDaysAgo(80)];
      const weekOf = async (event: string) =>
        (
          await system.sql<{ week: string }>(
            'SELECT tableoid::regclass::text AS week FROM deliveries WHERE event_id = $1',
            [event],
          )
        )[0]?.week;
      const [oldWeek, youngWeek] = [await weekOf(old), await weekOf(young)];
      expect(await partitions()).toEqual(expect.arrayContaining([oldWeek, youngWeek]));
      await maintenance.run();
      expect(await left(old)).toEqual([]);
      expect(await left(young)).toEqual(ALL);
      expect(
        await system.sql('SELECT 1 FROM attempts WHERE delivery_id NOT IN (SELECT id FROM deliveries)'),
      ).toEqual([]);
      expect(await system.sql('SELECT 1 FROM used_fetch_tokens')).toHaveLength(1);
      expect(await partitions()).toContain(youngWeek);
      expect(await partitions()).not.toContain(oldWeek);
      expect(await account.publish({ externalId: '91-days-ago' })).toMatchObject({ duplicate: false });
      expect(await account.publish({ externalId: '80-days-ago' })).toMatchObject({ duplicate: true });
    });

    it('removes them when the plan of their account says so', async () => {
      await account.endpoint({ url: receiver.url });
      await system.ok('POST', '/plans', { name: 'forgetful', limits: { retentionDays: 7 } });
      const [old, young] = [await publishedDaysAgo(8), await publishedDaysAgo(6)];
      await maintenance.run();
      expect(await left(old)).toEqual(ALL);
      await system.ok('PATCH', account.path, { plan: 'forgetful' });
      await maintenance.run();
      expect([await left(old), await left(young)]).toEqual([[], ALL]);
    });

    it('removes events with more deliveries than one statement should, past one that is kept', async () => {
      const endpoint = await account.endpoint({ url: receiver.url });
      const kept = await publishedDaysAgo(100);
      await system.sql(OPEN, [kept, 'pending']);
      await system.sql(
        `WITH old AS (
           INSERT INTO events (id, account_id, type, occurred_at, version, tags, data, matched)
           SELECT overlay($1::text PLACING lpad(to_hex(n), 12, '0') FROM 25)::uuid, $2, 'a.b', now(), '1', '{}', '1', 4000
           FROM generate_series(1, 9) n RETURNING id, account_id, type
         )
         INSERT INTO deliveries (id, account_id, event_id, endpoint_id, event_type, status)
         SELECT overlay($1::text PLACING lpad(to_hex(row_number() OVER ()), 12, '0') FROM 25)::uuid, account_id, old.id, $3,
           type, 'delivered' FROM old, generate_series(1, 4000)`,
        [kept, fromId('account', account.id), fromId('endpoint', endpoint.id)],
      );
      await maintenance.run();
      expect(
        await system.sql('SELECT id FROM events WHERE account_id = $1', [fromId('account', account.id)]),
      ).toEqual([{ id: kept }]);
      expect(
        await system.sql('SELECT count(*)::int AS count FROM deliveries WHERE account_id = $1', [
          fromId('account', account.id),
        ]),
      ).toEqual([{ count: 1 }]);
    });

    it.each(['pending', 'retrying', 'held'])('keeps an event with a delivery that is %s', async (status) => {
      await account.endpoint({ url: receiver.url });
      const old = await publishedDaysAgo(200);
      await system.sql(OPEN, [old, status]);
      await maintenance.run();
      expect(await left(old)).toEqual(ALL);
      await system.sql(`UPDATE deliveries SET status = 'failed' WHERE event_id = $1`, [old]);
      await maintenance.run();
      expect(await left(old)).toEqual([]);
    });

    /** Changes something, and commits it once the maintenance has looked at what was before. */
    const duringMaintenance = async (change: string, parameters: unknown[]): Promise<void> => {
      let isOver = false;
      let running: Promise<void> | undefined;
      await writer.transaction(async (client) => {
        await client.query(change, parameters);
        running = maintenance.run().finally(() => (isOver = true));
        const isWaiting = async () =>
          (
            await system.sql(
              `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
            )
          ).length > 0;
        await until(async () => isOver || (await isWaiting()), Boolean);
      });
      await running;
    };

    it('keeps an event that somebody wants again at this very moment', async () => {
      await account.endpoint({ url: receiver.url });
      const old = await publishedDaysAgo(200);
      await duringMaintenance(OPEN, [old, 'pending']);
      expect(await left(old)).toEqual(ALL);
    });

    it('keeps a week that something comes to at this very moment', async () => {
      await account.endpoint({ url: receiver.url });
      const old = await publishedDaysAgo(300);
      await system.sql(
        'DELETE FROM attempts WHERE delivery_id IN (SELECT id FROM deliveries WHERE event_id = $1)',
        [old],
      );
      await system.sql(`UPDATE deliveries SET status = 'held' WHERE event_id = $1`, [old]);
      await duringMaintenance(
        `INSERT INTO attempts (delivery_id, number, trigger, started_at, duration_ms, outcome)
          SELECT id, 1, 'manual', now(), 1, 'delivered' FROM deliveries WHERE event_id = $1`,
        [old],
      );
      expect(await left(old)).toEqual(ALL);
    });
  });

  it('tells owners 30, 7 and 1 days ahead that a certificate ends, each once', async () => {
    const account = await system.account();
    const endpoint = await account.endpoint({ url: 'https://127.0.0.1:4433/', paused: true });
    const told = async () =>
      (
        await system.ok<{ data: { kind: string; endpointId: string; data: { days: number } }[] }>(
          'GET',
          `${account.path}/notifications`,
        )
      ).data.map(({ kind, endpointId, data }) => [kind, endpointId, data.days]);
    const saying = (...days: number[]) =>
      days.map((each) => ['endpoint.certificate_expiring', endpoint.id, each]).reverse();
    const endsIn = (days: number) =>
      system.sql(
        `UPDATE endpoints SET certificate_expires_at = now() + $2 * interval '1 day' WHERE id = $1`,
        [fromId('endpoint', endpoint.id), days],
      );
    for (const [days, expected] of [
      [30.1, []],
      [29.9, [30]],
      [7.1, [30]],
      [6.9, [30, 7]],
      [1.1, [30, 7]],
      [0.9, [30, 7, 1]],
      [-1, [30, 7, 1]],
    ] as const) {
      await endsIn(days);
      await maintenance.run();
      await maintenance.run();
      expect(await told()).toEqual(saying(...expected));
    }
  });
});
