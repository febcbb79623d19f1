import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTemporalServer, type TemporalServer } from '../../scripts/cluster/temporal-server.js';
import { Database } from '../../src/database/database.js';
import { findTestServer, startEmbedded } from '../../src/embedded/index.js';
import type { Progress } from '../../src/embedded/long-step.js';
import { freePort } from '../../src/embedded/ports.js';
import { SEARCH_ATTRIBUTES } from '../../workflows/contracts.js';
import { copyDatabase, type TestDatabase } from '../support/servers.js';
import { isCluster } from '../support/shape.js';

interface Servers {
  databaseUrl: string;
  /** Name of a database with the schema and nothing in it, which those of the tests are copies of. */
  template: string;
  temporalAddress: string;
  /** Ends what was started, and removes its data. */
  stop: () => Promise<void>;
}

/** As few as let a test's deliveries lie on several. */
const HISTORY_SHARDS = 4;

let running: Servers | undefined;

/**
 * Starts one PostgreSQL and one Temporal for the whole run, and finds the time-skipping server where it is needed; tests
 * read from the environment where they are:
 * - `POSTHORN_TEST_DATABASE_URL`: as a superuser; each test file makes its own database
 * - `POSTHORN_TEST_TEMPLATE`: name of a database to copy, with the schema and nothing in it
 * - `POSTHORN_TEST_TEMPORAL_ADDRESS`: with the namespace `default`
 * - `POSTHORN_TEST_SERVER_PATH`: the program, for `createTimeSkipping`
 *
 * A server whose address is in the environment already is used instead of being started.
 */
export async function startTestServers(): Promise<void> {
  const progress = (line: string) => process.stderr.write(`${line}\n`);
  const [testServer, servers] = await Promise.allSettled([
    isCluster() ? undefined : findTestServer(progress),
    startServers(isCluster() ? 'production' : 'embedded', progress),
  ]);
  if (servers.status === 'fulfilled') running = servers.value;
  if (testServer.status === 'rejected' || servers.status === 'rejected') {
    await stopTestServers();
    throw testServer.status === 'rejected' ? testServer.reason : (servers as PromiseRejectedResult).reason;
  }
  Object.assign(process.env, {
    POSTHORN_TEST_DATABASE_URL: servers.value.databaseUrl,
    POSTHORN_TEST_TEMPLATE: servers.value.template,
    POSTHORN_TEST_TEMPORAL_ADDRESS: servers.value.temporalAddress,
    ...(testServer.value === undefined ? {} : { POSTHORN_TEST_SERVER_PATH: testServer.value }),
  });
}

export async function stopTestServers(): Promise<void> {
  const stopping = running;
  running = undefined;
  await stopping?.stop();
}

/** Temporal is the embedded server, or that of production with nothing in it but a namespace. */
async function startServers(kind: 'embedded' | 'production', progress: Progress): Promise<Servers> {
  const { POSTHORN_TEST_DATABASE_URL: givenDatabase, POSTHORN_TEST_TEMPORAL_ADDRESS: givenTemporal } =
    process.env;
  const dataDir = await mkdtemp(join(tmpdir(), 'posthorn-test-'));
  // Made with mode 700, which as root would shut PostgreSQL's user out.
  await chmod(dataDir, 0o711);
  const embedded = await startEmbedded({
    dataDir,
    postgres: givenDatabase === undefined,
    temporal: givenTemporal === undefined && kind === 'embedded',
    temporalUiPort: await freePort(),
    searchAttributes: Object.fromEntries(SEARCH_ATTRIBUTES.map(({ name }) => [name, 'Keyword'])),
    progress,
  });
  const databaseUrl = givenDatabase ?? embedded.databaseUrl ?? '';
  let production: TemporalServer | undefined;
  let template: TestDatabase | undefined;
  const stopAll = async () => {
    await template?.drop();
    await production?.remove();
    await embedded.stop();
    await removeDataFolder(dataDir);
  };
  try {
    template = await makeTemplate(databaseUrl);
    if (givenTemporal === undefined && kind === 'production') {
      production = await startTemporalServer({
        folder: join(dataDir, 'temporal-server'),
        postgresUrl: databaseUrl,
        historyShards: HISTORY_SHARDS,
        progress,
      });
    }
  } catch (error) {
    await stopAll();
    throw error;
  }
  const temporalAddress = givenTemporal ?? production?.address ?? embedded.temporalAddress ?? '';
  return { databaseUrl, template: template.name, temporalAddress, stop: stopAll };
}

/** To bring a schema up to date takes longer than to copy it. */
async function makeTemplate(databaseUrl: string): Promise<TestDatabase> {
  const template = await copyDatabase(databaseUrl, 'template1');
  await new Database(template.url, 1).migrate();
  return template;
}

/** As root the databases may lie elsewhere. */
export async function removeDataFolder(dataDir: string): Promise<void> {
  const postgres = await realpath(join(dataDir, 'postgres')).catch(() => undefined);
  if (postgres !== undefined) await rm(postgres, { recursive: true, force: true });
  await rm(dataDir, { recursive: true, force: true });
}
