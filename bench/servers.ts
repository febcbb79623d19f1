import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startTemporalServer } from '../scripts/cluster/temporal-server.js';
import { startEmbedded } from '../src/embedded/index.js';
import { freePort } from '../src/embedded/ports.js';
import { SEARCH_ATTRIBUTES } from '../workflows/contracts.js';
import type { Progress } from './bench.js';
import { Resources } from './processes/resources.js';

/** What a Temporal server keeps its data in: `sqlite` is the embedded one. */
export const TEMPORAL_STORES = ['sqlite', 'postgres'] as const;
export type TemporalStore = (typeof TEMPORAL_STORES)[number];

/** As many as one machine of two cores is best with. */
const HISTORY_SHARDS = 4;

/** Files of PostgreSQL's log that there are before anything is measured: `min_wal_size` of the embedded server. */
const LOG_FILES = 8;

/** What everything runs on. */
export interface Servers {
  temporalAddress: string;
  namespace: string;
  /** Process numbers of the embedded ones. */
  pids: { temporal?: number; temporalStore?: number; postgres?: number };
  /** In words, for the report. */
  kind: string;
  /** An empty database, dropped in the end. */
  createDatabase(name: string): Promise<string>;
  close(): Promise<void>;
}

/**
 * The servers that the environment names, and others in a temporary folder for those it does not.
 *
 * @param temporalOn what a Temporal server that is started here keeps its data in
 */
export async function openServers(
  env: NodeJS.ProcessEnv,
  temporalOn: TemporalStore,
  progress: Progress,
): Promise<Servers> {
  const resources = new Resources();
  try {
    const dataDir = await mkdtemp(join(tmpdir(), 'posthorn-bench-'));
    resources.keep({ close: () => rm(dataDir, { recursive: true, force: true }) });
    // The embedded PostgreSQL may run as another user, who must get through.
    await chmod(dataDir, 0o755);
    // Started apart, so that it is known which process is which.
    const start = async (server: 'postgres' | 'temporal', folder: string = server) => {
      const embedded = await startEmbedded({
        dataDir: join(dataDir, folder),
        postgres: server === 'postgres',
        temporal: server === 'temporal',
        // Not the usual one, which a system that runs beside the bench may be about to take.
        temporalUiPort: await freePort(),
        searchAttributes: Object.fromEntries(SEARCH_ATTRIBUTES.map(({ name }) => [name, 'Keyword' as const])),
        progress,
      });
      resources.keep({ close: () => embedded.stop() });
      return embedded;
    };
    const postgres = env.POSTHORN_DATABASE_URL === undefined ? await start('postgres') : undefined;
    const databaseUrl = env.POSTHORN_DATABASE_URL ?? postgres?.databaseUrl ?? '';
    if (postgres) await fillLog(databaseUrl);
    const startTemporal = async () => {
      if (temporalOn === 'sqlite') {
        const temporal = await start('temporal');
        return { address: temporal.temporalAddress ?? '', pids: { temporal: temporal.pids()[0] } };
      }
      // One of its own, so that it is known what Temporal writes and what Posthorn does.
      const store = await start('postgres', 'temporal-store');
      const server = await startTemporalServer({
        folder: join(dataDir, 'temporal-on-postgres'),
        postgresUrl: store.databaseUrl ?? '',
        historyShards: HISTORY_SHARDS,
        progress,
      });
      resources.keep({ close: () => server.remove() });
      return { address: server.address, pids: { temporal: server.pid(), temporalStore: store.pids()[0] } };
    };
    const given = env.POSTHORN_TEMPORAL_ADDRESS;
    const temporal = given === undefined ? await startTemporal() : { address: given, pids: {} };
    const pids = Object.entries({ postgres: postgres?.pids()[0], ...temporal.pids });
    return {
      temporalAddress: temporal.address,
      namespace: env.POSTHORN_TEMPORAL_NAMESPACE ?? 'default',
      pids: Object.fromEntries(pids.filter(([, pid]) => pid !== undefined)),
      kind: `PostgreSQL ${postgres ? 'embedded' : 'given'}, Temporal ${given === undefined ? `on ${temporalOn}` : 'given'}`,
      async createDatabase(name) {
        await query(databaseUrl, `CREATE DATABASE ${name}`);
        resources.keep({
          close: async () => {
            await query(databaseUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
          },
        });
        const url = new URL(databaseUrl);
        url.pathname = `/${name}`;
        return url.href;
      },
      close: () => resources.close(),
    };
  } catch (error) {
    await resources.close();
    throw error;
  }
}

/**
 * A server that has run for an hour writes its log into files that it has used before. A new one stops everybody who
 * commits for some 20 to 60 ms each time it needs another, until it has written and synchronised 16 MiB of zeros.
 */
async function fillLog(connectionString: string): Promise<void> {
  for (let file = 0; file < LOG_FILES; file += 1)
    await query(connectionString, `SELECT pg_logical_emit_message(true, 'bench', 'next'), pg_switch_wal()`);
  await query(connectionString, 'CHECKPOINT');
}

export async function databaseSize(connectionString: string): Promise<{ tables: number; log: number }> {
  const [size] = await query<{ tables: number; log: number }>(
    connectionString,
    `SELECT pg_database_size(current_database())::float8 AS tables,
       pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 AS log`,
  );
  return size ?? { tables: 0, log: 0 };
}

async function query<Row extends pg.QueryResultRow>(connectionString: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}
