import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startEmbedded } from '../src/embedded/index.js';
import { freePort } from '../src/embedded/ports.js';
import { SEARCH_ATTRIBUTES } from '../workflows/contracts.js';
import type { Progress } from './bench.js';
import { Resources } from './processes/resources.js';

/** What everything runs on. */
export interface Servers {
  temporalAddress: string;
  namespace: string;
  /** Process numbers of the embedded ones. */
  pids: { temporal?: number; postgres?: number };
  /** In words, for the report. */
  kind: string;
  /** An empty database, dropped in the end. */
  createDatabase(name: string): Promise<string>;
  close(): Promise<void>;
}

/** The servers that the environment names, and embedded ones in a temporary folder for those it does not. */
export async function openServers(env: NodeJS.ProcessEnv, progress: Progress): Promise<Servers> {
  const resources = new Resources();
  try {
    const dataDir = await mkdtemp(join(tmpdir(), 'posthorn-bench-'));
    resources.keep({ close: () => rm(dataDir, { recursive: true, force: true }) });
    // The embedded PostgreSQL may run as another user, who must get through.
    await chmod(dataDir, 0o755);
    // Started apart, so that it is known which process is which.
    const start = async (server: 'postgres' | 'temporal') => {
      const embedded = await startEmbedded({
        dataDir: join(dataDir, server),
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
    const temporal = env.POSTHORN_TEMPORAL_ADDRESS === undefined ? await start('temporal') : undefined;
    const databaseUrl = env.POSTHORN_DATABASE_URL ?? postgres?.databaseUrl ?? '';
    const [postgresPid] = postgres?.pids() ?? [];
    const [temporalPid] = temporal?.pids() ?? [];
    return {
      temporalAddress: env.POSTHORN_TEMPORAL_ADDRESS ?? temporal?.temporalAddress ?? '',
      namespace: env.POSTHORN_TEMPORAL_NAMESPACE ?? 'default',
      pids: {
        ...(postgresPid !== undefined && { postgres: postgresPid }),
        ...(temporalPid !== undefined && { temporal: temporalPid }),
      },
      kind: `PostgreSQL ${postgres ? 'embedded' : 'given'}, Temporal ${temporal ? 'embedded' : 'given'}`,
      async createDatabase(name) {
        await query(databaseUrl, `CREATE DATABASE ${name}`);
        resources.keep({
          close: () => query(databaseUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
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

async function query(connectionString: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
