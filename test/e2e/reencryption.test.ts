import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { PROJECT_ROOT } from '../../src/common/version.js';
import { Database } from '../../src/database/database.js';
import type { EndpointCreated } from '../../src/endpoints/endpoints.schema.js';
import { KeyRing } from '../../src/secrets/key-ring.js';
import { Reencryption } from '../../src/secrets/reencryption.js';
import { SEALED_COLUMNS } from '../../src/secrets/sealed-columns.js';
import { Receiver } from '../support/receiver.js';
import { Account, System } from '../support/system.js';
import { until } from '../support/until.js';

const ringKey = (name: string) => `${name}:${randomBytes(32).toString('base64')}`;

describe('a change of the encryption key ring', () => {
  const [k1, k2, k3] = [ringKey('k1'), ringKey('k2'), ringKey('k3')];
  let system: System;
  let account: Account;
  let database: Database;
  let receiver: Receiver;
  let endpoint: EndpointCreated;

  const reencryption = (ring: string) => new Reencryption(database, new KeyRing(ring));
  const create = (through: System) =>
    through.call<EndpointCreated>(
      'POST',
      `${account.path}/endpoints`,
      { url: receiver.url, headers: { 'x-tenant': 'blue' } },
      { 'idempotency-key': 'once' },
    );
  const cli = (ring: string) =>
    promisify(execFile)(process.execPath, [join(PROJECT_ROOT, 'dist/src/cli.js'), 'keys', 'reencrypt'], {
      env: { POSTHORN_DATABASE_URL: system.databaseUrl, POSTHORN_ENCRYPTION_KEYS: ring },
    });

  beforeAll(async () => {
    system = await System.start({ encryptionKeys: k1 });
    account = await system.account();
    receiver = await Receiver.start();
    database = new Database(system.databaseUrl, 2);
    await database.open();
    endpoint = (await create(system)).body;
  });
  beforeEach(() => reencryption(`${k1},${k2},${k3}`).run());
  afterAll(async () => {
    await database.close();
    await receiver.stop();
    await system.stop();
  });

  it('knows every column that holds encrypted values', async () => {
    const columns = await system.sql<{ name: string }>(
      `SELECT table_name || '.' || column_name AS name FROM information_schema.columns
        WHERE table_schema = 'public' AND column_name LIKE 'sealed%' ORDER BY 1`,
    );
    const known = Object.values(SEALED_COLUMNS).map(({ table, column }) => `${table}.${column}`);
    expect(columns.map(({ name }) => name)).toEqual(known.toSorted());
  });

  it('reaches what is encrypted already when a process starts with the new key first', async () => {
    const ring = `${k2},${k1}`;
    const second = await System.start({ like: system, encryptionKeys: ring });
    try {
      await until(
        () => reencryption(ring).valuesByKey(),
        (counts) => !counts.has('k1'),
      );
    } finally {
      await second.stop();
    }
    const without = await System.start({ like: system, encryptionKeys: k2 });
    try {
      expect((await create(without)).body).toEqual(endpoint);
      const secret = await without.ok<{ secret: string }>(
        'GET',
        `${account.path}/endpoints/${endpoint.id}/secret`,
      );
      expect(secret.secret).toBe(endpoint.signingSecret);
      const shown = await without.ok<{ headers: object }>('GET', `${account.path}/endpoints/${endpoint.id}`);
      expect(Object.keys(shown.headers)).toEqual(['x-tenant']);
      const { headers, body } = await receiver.next(() => new Account(without, account.id).publish());
      expect(headers['x-tenant']).toBe('blue');
      new Webhook(endpoint.signingSecret).verify(body, headers as Record<string, string>);
    } finally {
      await without.stop();
    }
  });

  it('goes on over many pages and past what does not open, in several processes at once', async () => {
    await system.sql(
      `INSERT INTO idempotency_keys (owner, key, fingerprint, locked_until, sealed_answer)
        SELECT 'operator', 'n' || n, '', now(), k.sealed_answer FROM generate_series(1, 450) n, idempotency_keys k
        WHERE k.key = 'once'`,
    );
    const ring = `${k2},${k1}`;
    // An answer of another row does not open.
    const reports = await Promise.all([reencryption(ring).run(), reencryption(ring).run()]);
    await system.sql(`DELETE FROM idempotency_keys WHERE key <> 'once'`);
    expect(reports.map(({ reencrypted }) => reencrypted).reduce((sum, each) => sum + each)).toBe(3);
    expect(reports.flatMap(({ unreadable }) => [...unreadable.keys()])).toContain(
      'what key k1 has encrypted does not open',
    );
    expect(await reencryption(ring).valuesByKey()).toEqual(new Map([['k2', 3]]));
  });

  it('is made by command, which says what each key still holds and fails where something cannot be read', async () => {
    const { stderr } = await cli(`${k3},${k1}`);
    expect(stderr).toContain('Encrypted again: 3');
    expect(stderr).toContain('Held by key k3: 3');
    const failed = cli(k1).catch((error: unknown) => error as { code: number; stderr: string });
    expect(await failed).toMatchObject({ code: 1 });
    expect((await failed).stderr).toMatch(/Held by key k3: 3\nLeft as they are: 3, since key k3 is not in/);
  });
});
