import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { Database } from '../../src/database/database.js';
import { createDatabase } from '../support/servers.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';

const KEPT = 8;
/** Plenty for a query that does nothing. */
const ANSWER_WITHIN_MS = 2_000;
const ONE = { name: 'one', text: 'SELECT $1::int AS one', nothing: [1] };

interface Session {
  pid: number;
  planned: string[];
}

/** Holds an advisory lock until it is ended. */
async function createBlock(url: string, lock: number): Promise<pg.Client> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query('SELECT pg_advisory_lock($1)', [lock]);
  return client;
}

describe('a migration', () => {
  it('waits for a long reader without keeping others waiting', async () => {
    const place = await createDatabase();
    const database = new Database(place.url, 2);
    const dump = new pg.Client(place.url);
    try {
      await database.open();
      await dump.connect();
      // Back to before one that drops an index: that locks out readers, too.
      const isBack = async () =>
        (await database.query(`SELECT 1 FROM pg_class WHERE relname = 'deliveries_due'`, [])).length > 0;
      while (!(await isBack())) await database.source.undoLastMigration();
      await dump.query('BEGIN');
      await dump.query('SELECT FROM deliveries');
      const migrated = database.migrate();
      const waiting = () =>
        database.query(`SELECT 1 FROM pg_locks WHERE relation = 'deliveries'::regclass AND NOT granted`, []);
      await until(waiting, (locks) => locks.length > 0);
      await database.query('UPDATE deliveries SET tell = NULL', []);
      await dump.query('COMMIT');
      await migrated;
    } finally {
      await dump.end();
      await database.close();
      await place.drop();
    }
  });
});

describe('the connections to PostgreSQL', () => {
  let place: Awaited<ReturnType<typeof createDatabase>>;
  let database: Database;

  beforeAll(async () => {
    place = await createDatabase();
    database = new Database(place.url, 2 * KEPT);
    await database.open();
  });
  afterAll(async () => {
    await database.close();
    await place.drop();
  });

  /** Holds as many connections at once, and tells what is planned on each. */
  const sessions = async (count: number): Promise<Session[]> => {
    let held = 0;
    let letGo = (): void => undefined;
    const all = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    return Promise.all(
      Array.from({ length: count }, () =>
        database.transaction(async (client) => {
          held += 1;
          if (held === count) letGo();
          await all;
          const { rows } = await client.query<Session>(
            `SELECT pg_backend_pid() AS pid, coalesce(array_agg(name::text), '{}') AS planned FROM pg_prepared_statements`,
          );
          return rows[0] ?? { pid: 0, planned: [] };
        }),
      ),
    );
  };

  it('are opened ahead, and what every delivery passes through is planned on each', async () => {
    await database.warmUp([ONE]);
    const kept = await sessions(KEPT);
    expect(new Set(kept.map(({ pid }) => pid)).size).toBe(KEPT);
    expect(kept.map(({ planned }) => planned)).toEqual(Array(KEPT).fill([ONE.name]));
  });

  it('are left to others by lists that take long, and to what keeps the process alive by whatever takes long', async () => {
    const LOCK = 4711;
    const block = await createBlock(place.url, LOCK);
    const waiting: Promise<unknown>[] = [];
    const wait = `SELECT pg_advisory_xact_lock_shared(${LOCK})`;
    for (let list = 0; list < 4 * KEPT; list += 1)
      waiting.push(database.list(`reader ${list % 2}`, wait, []));
    expect(await database.query('SELECT 1 AS one', [])).toEqual([{ one: 1 }]);
    for (let other = 0; other < 4 * KEPT; other += 1) waiting.push(database.query(wait, []));
    expect(await database.ahead('alive', 'SELECT 1 AS one', [])).toEqual([{ one: 1 }]);
    await block.end();
    await Promise.all(waiting);
  });

  it('are no reason not to start when a statement cannot be planned', async () => {
    await database.warmUp([{ name: 'wrong', text: 'SELECT nothing FROM nowhere', nothing: [] }]);
    expect(await database.query('SELECT 1 AS one', [])).toEqual([{ one: 1 }]);
  });

  it('are given up together when one of them no longer answers', async () => {
    const { hostname, port } = new URL(place.url);
    const line = await TcpProxy.start(hostname, Number(port));
    const url = new URL(place.url);
    url.host = line.address;
    const beyond = new Database(url.href, 2 * KEPT, ANSWER_WITHIN_MS);
    try {
      await beyond.open();
      await beyond.warmUp([ONE]);
      line.abandon();
      await expect(beyond.query('SELECT 1 AS one', [])).rejects.toThrow('Query read timeout');
      const after = await Promise.all(
        Array.from({ length: KEPT }, () => beyond.query('SELECT 1 AS one', [])),
      );
      expect(after).toEqual(Array(KEPT).fill([{ one: 1 }]));
    } finally {
      await line.stop();
      await beyond.close();
    }
  });

  it('may break while one is held and not asked anything: its holder learns of it, and the process goes on', async () => {
    const broken = database.transaction(async (client) => {
      const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      const { pid = 0 } = rows[0] ?? {};
      await database.query('SELECT pg_terminate_backend($1)', [pid]);
      await until(
        () => database.query('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid]),
        (left) => left.length === 0,
      );
      await client.query('SELECT 1');
    });
    await expect(broken).rejects.toThrow();
    expect(await database.query('SELECT 1 AS one', [])).toEqual([{ one: 1 }]);
  });

  it('run once more what PostgreSQL has ended to free others', async () => {
    await database.query('CREATE TABLE rows (id int PRIMARY KEY, changes int NOT NULL DEFAULT 0)', []);
    await database.query('INSERT INTO rows (id) VALUES (1), (2)', []);
    let runs = 0;
    let waiting = 0;
    let goOn = (): void => undefined;
    const bothHaveOne = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const change = (first: number, second: number) =>
      database.transaction(async (client) => {
        runs += 1;
        await client.query('UPDATE rows SET changes = changes + 1 WHERE id = $1', [first]);
        waiting += 1;
        if (waiting === 2) goOn();
        await bothHaveOne;
        await client.query('UPDATE rows SET changes = changes + 1 WHERE id = $1', [second]);
      });
    await Promise.all([change(1, 2), change(2, 1)]);
    expect(runs).toBe(3);
    expect(await database.query('SELECT id, changes FROM rows ORDER BY id', [])).toEqual([
      { id: 1, changes: 2 },
      { id: 2, changes: 2 },
    ]);
  });
});
