import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import type { QueryRunner } from 'typeorm';
import { AuditChains } from '../../src/audit/audit-chains.js';
import { canonicalJson } from '../../src/audit/canonical-json.js';
import { type AuditEntry, entryHash } from '../../src/audit/entry.js';
import { fromId } from '../../src/common/ids.js';
import { PROJECT_ROOT } from '../../src/common/version.js';
import { Database } from '../../src/database/database.js';
import { Audit1700000000004 } from '../../src/database/migrations/1700000000004-audit.js';
import { createDatabase } from '../support/servers.js';
import { Account, System } from '../support/system.js';

interface Page {
  data: AuditEntry[];
  nextCursor: string | null;
}

describe('the chains of the audit log', () => {
  let system: System;
  let other: System;
  let database: Database;

  const chainOf = async (account: Account) => {
    const entries: AuditEntry[] = [];
    let cursor: string | null = null;
    do {
      const page: Page = await system.ok<Page>(
        'GET',
        `${account.path}/audit-log?limit=20${cursor === null ? '' : `&cursor=${cursor}`}`,
      );
      entries.push(...page.data);
      cursor = page.nextCursor;
    } while (cursor !== null);
    return entries;
  };
  const verdictOf = (account: Account) => new AuditChains(database).check(fromId('account', account.id));

  beforeAll(async () => {
    system = await System.start();
    other = await System.start({ like: system });
    database = new Database(system.databaseUrl, 4);
    await database.open();
  });
  afterAll(async () => {
    await database.close();
    await other.stop();
    await system.stop();
  });

  it('take the writes of several processes one after another, without a fork', async () => {
    const account = await system.account();
    const both = [account, new Account(other, account.id)];
    const endpoint = await account.endpoint({ url: 'http://127.0.0.1:4433/' });
    await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const { system: one, path } = both[index % 2] ?? account;
        if (index % 3 === 0) await one.ok('POST', `${path}/keys`, { name: `key ${index}` });
        else if (index % 3 === 1) await one.ok('GET', `${path}/endpoints/${endpoint.id}/secret`);
        else await one.ok('PATCH', path, { name: `name ${index}` });
      }),
    );
    const entries = (await chainOf(account)).reverse();
    expect(entries.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 52 }, (_, index) => index + 1),
    );
    expect(entries.slice(1).map(({ previousHash }) => previousHash)).toEqual(
      entries.slice(0, -1).map(({ hash }) => hash),
    );
    expect(entries.map(({ createdAt }) => createdAt)).toEqual(
      entries.map(({ createdAt }) => createdAt).sort(),
    );
    expect(await verdictOf(account)).toMatchObject({ entries: 52, finding: null });
  });

  it('are checked by the program of the reference, from what the API shows', async () => {
    const page = readFileSync(join(PROJECT_ROOT, 'docs/reference/audit-log.md'), 'utf8');
    const [, program] = /```js\n([\s\S]*?)```/.exec(page) ?? [];
    const { check } = (await import(`data:text/javascript,${encodeURIComponent(program ?? '')}`)) as {
      check: (entries: unknown[]) => void;
    };
    const account = await system.account('Ünïcode "quoted" \\ 😀');
    await account.endpoint({ url: 'http://127.0.0.1:4433/', rateLimit: { perSecond: 0.1 } });
    await system.ok('PATCH', account.path, { metadata: { b: '1', '2': 'two', a: 'é' } });
    const entries = await chainOf(account);
    expect(entries).toHaveLength(3);
    check(entries);
    const [newest, ...rest] = entries;
    expect(() => check([{ ...newest, actor: 'nobody' }, ...rest])).toThrow('entry 3');
  });

  it('have the hash that the example of the reference has', () => {
    const page = readFileSync(join(PROJECT_ROOT, 'docs/reference/audit-log.md'), 'utf8');
    const [, line = ''] = /```text\n(\{"accountId".*)\n```/.exec(page) ?? [];
    const entry = JSON.parse(line) as Omit<AuditEntry, 'hash'>;
    expect(canonicalJson(entry)).toBe(line);
    expect(page.split(entryHash(entry))).toHaveLength(3);
  });

  it('are hashed by the database as by the verifier, whatever the entries hold', async () => {
    const text = fc
      .string({ unit: 'binary', maxLength: 12 })
      .map((each) => each.replaceAll('\0', ' ').toWellFormed());
    const client = new pg.Client(system.databaseUrl);
    await client.connect();
    try {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(text, text, fc.option(text), fc.jsonValue()), { minLength: 1 }),
          async (all) => {
            const account = crypto.randomUUID();
            for (const [actor, resource, agent, value] of all)
              await client.query(
                `INSERT INTO audit_log (key_id, address, user_agent, request_id, account_id, action, resource_id, changes)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
                [
                  actor,
                  agent,
                  agent,
                  actor,
                  account,
                  resource,
                  resource,
                  canonicalJson({ [actor]: { from: value } }),
                ],
              );
            expect(await new AuditChains(database).check(account)).toMatchObject({
              entries: all.length,
              finding: null,
            });
          },
        ),
        { numRuns: 40 },
      );
    } finally {
      await client.end();
    }
  });

  it.each([
    "UPDATE audit_log SET key_id = 'root'",
    'UPDATE audit_log SET hash = hash WHERE false',
    'DELETE FROM audit_log',
    'TRUNCATE audit_log',
    'DELETE FROM audit_chains',
    'TRUNCATE audit_chains',
  ])('refuse %s', async (statement) => {
    const count = () => system.sql('SELECT count(*) FROM audit_log');
    const before = await count();
    await expect(system.sql(statement)).rejects.toThrow('the audit log is only ever added to');
    expect(await count()).toEqual(before);
  });

  it('keep no entry of a change that was rolled back, and go on after it', async () => {
    const account = await system.account();
    await system.sql(`
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused at the commit'; END $$`);
    await system.sql(`
      CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON accounts DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse()`);
    try {
      expect((await system.call('PATCH', account.path, { name: 'Other' })).status).toBe(500);
    } finally {
      await system.sql('DROP TRIGGER refuse ON accounts');
      await system.sql('DROP FUNCTION refuse');
    }
    await system.ok('PATCH', account.path, { name: 'Third' });
    expect((await chainOf(account)).map(({ sequence, changes }) => [sequence, changes.name?.to])).toEqual([
      [2, 'Third'],
      [1, 'Acme'],
    ]);
    expect(await verdictOf(account)).toMatchObject({ entries: 2, finding: null });
  });

  it('undo the change, and show no secret, when its entry cannot be written', async () => {
    const account = await system.account();
    const endpoint = await account.endpoint({ url: 'http://127.0.0.1:4433/', paused: true });
    const delivery = await account.deliveryOf(await account.publish());
    const path = `${account.path}/endpoints/${endpoint.id}`;
    await system.sql('ALTER TABLE audit_log ADD CONSTRAINT refuse CHECK (false) NOT VALID');
    try {
      const writes = [
        ['POST', '/accounts', { name: 'x' }],
        ['PATCH', account.path, { name: 'x' }],
        ['POST', `${account.path}/keys`, { name: 'x' }],
        ['POST', `${account.path}/endpoints`, { url: 'http://127.0.0.1:4433/' }],
        ['PATCH', path, { description: 'x' }],
        ['GET', `${path}/secret`],
        ['POST', `${path}/secret/rotate`, {}],
        ['DELETE', path],
        ['PUT', '/event-types/never.made', {}],
        ['POST', `${account.path}/deliveries/${delivery.id}/cancel`],
      ] as const;
      const accounts = await system.sql('SELECT count(*) FROM accounts');
      for (const [method, each, body] of writes) {
        const answer = await system.call(method, each, body);
        expect([method, each, answer.status]).toEqual([method, each, 500]);
        expect(answer.text).not.toContain('whsec_');
      }
      expect(await system.sql('SELECT count(*) FROM accounts')).toEqual(accounts);
    } finally {
      await system.sql('ALTER TABLE audit_log DROP CONSTRAINT refuse');
    }
    expect(await system.ok('GET', account.path)).toMatchObject({ name: 'Acme' });
    expect(await system.ok('GET', path)).toMatchObject({ description: null });
    expect(await system.ok('GET', `${account.path}/keys`)).toMatchObject({ data: [] });
    expect(await system.ok('GET', `${path}/secret`)).toMatchObject({ secret: endpoint.signingSecret });
    expect(await account.delivery(delivery.id)).toMatchObject({ status: 'held' });
    expect((await system.call('GET', '/event-types/never.made')).status).toBe(404);
    expect((await chainOf(account)).map(({ action }) => action)).toEqual([
      'secret.read',
      'endpoint.create',
      'account.create',
    ]);
  });
});

describe('the audit log of an older release', () => {
  it('is chained in its order, as is what a process of that release still writes', async () => {
    const { url, drop } = await createDatabase();
    const database = new Database(url, 2);
    const client = new pg.Client(url);
    try {
      await database.open();
      await database.migrate();
      await client.connect();
      const runner = { query: (text: string) => client.query(text) } as unknown as QueryRunner;
      const migration = new Audit1700000000004();
      await migration.down(runner);
      const account = crypto.randomUUID();
      const insert = (id: string, of: string | null, resource: string) =>
        client.query(
          `INSERT INTO audit_log (id, key_id, account_id, action, resource_id, request_id)
            VALUES ($1, 'root', $2, 'secret.read', $3, 'r')`,
          [id, of, resource],
        );
      await insert('01900000-0000-7000-8000-000000000002', account, 'second');
      await insert('01900000-0000-7000-8000-000000000001', account, 'first');
      await insert('01900000-0000-7000-8000-000000000003', null, 'of the operator');
      await migration.up(runner);
      await insert('01900000-0000-7000-8000-000000000004', account, 'third');

      const chains = new AuditChains(database);
      expect(await chains.check(account)).toMatchObject({ entries: 3, finding: null });
      expect(await chains.check(null)).toMatchObject({ entries: 1, finding: null });
      const { rows } = await client.query<{ resource_id: string }>(
        'SELECT resource_id FROM audit_log WHERE account_id = $1 ORDER BY sequence',
        [account],
      );
      expect(rows.map((row) => row.resource_id)).toEqual(['first', 'second', 'third']);
    } finally {
      await client.end();
      await database.close();
      await drop();
    }
  });
});
