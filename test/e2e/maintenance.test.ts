import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Database } from '../../src/database/database.js';
import { Maintenance } from '../../src/database/maintenance.js';
import { createLogger } from '../../src/logging/logger.js';
import { System } from '../support/system.js';

describe('maintenance of the database', () => {
  let system: System;
  let database: Database;
  let maintenance: Maintenance;
  beforeAll(async () => {
    system = await System.start();
    database = new Database(system.databaseUrl, 2);
    await database.open();
    maintenance = new Maintenance(database, createLogger('silent'));
  });
  afterAll(async () => {
    await database.close();
    await system.stop();
  });

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

  it('keeps new rows out of the default partition', async () => {
    const account = await system.account();
    await account.publish();
    expect(await system.sql('SELECT 1 FROM events_default')).toEqual([]);
  });

  it('removes idempotency keys after a day and secrets that have ended', async () => {
    await system.sql(
      `INSERT INTO idempotency_keys (owner, key, fingerprint, locked_until, created_at) VALUES
         ('operator', 'old', '', now(), now() - interval '25 hours'), ('operator', 'new', '', now(), now())`,
    );
    const account = await system.account();
    const endpoint = await account.endpoint({ url: 'http://127.0.0.1:4433/', paused: true });
    const path = `${account.path}/endpoints/${endpoint.id}/secret/rotate`;
    await system.ok('POST', path, { overlapSeconds: 3600 });
    await system.sql(
      "UPDATE endpoint_secrets SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL",
    );
    await maintenance.run();
    expect(await system.sql('SELECT key FROM idempotency_keys')).toEqual([{ key: 'new' }]);
    expect(await system.sql('SELECT 1 FROM endpoint_secrets')).toHaveLength(1);
  });
});
