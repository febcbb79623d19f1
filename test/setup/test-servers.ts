import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Embedded, findTestServer, startEmbedded } from '../../src/embedded/index.js';
import { freePort } from '../../src/embedded/ports.js';
import { SEARCH_ATTRIBUTES } from '../../workflows/contracts.js';

let running: { servers: Embedded; dataDir: string } | undefined;

/**
 * Starts one PostgreSQL and one Temporal for the whole run and finds the time-skipping server; tests read from the
 * environment where they are:
 * - `POSTHORN_TEST_DATABASE_URL`: as a superuser; each test file makes its own database
 * - `POSTHORN_TEST_TEMPORAL_ADDRESS`: with the search attributes registered in the namespace `default`
 * - `POSTHORN_TEST_SERVER_PATH`: the program, for `createTimeSkipping`
 */
export async function startTestServers(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'posthorn-test-'));
  // Made with mode 700, which as root would shut PostgreSQL's user out.
  await chmod(dataDir, 0o711);
  const progress = (line: string) => process.stderr.write(`${line}\n`);
  const [testServer, servers] = await Promise.allSettled([
    findTestServer(progress),
    startEmbedded({
      dataDir,
      postgres: true,
      temporal: true,
      temporalUiPort: await freePort(),
      searchAttributes: Object.fromEntries(SEARCH_ATTRIBUTES.map(({ name }) => [name, 'Keyword'])),
      progress,
    }),
  ]);
  if (servers.status === 'fulfilled') running = { servers: servers.value, dataDir };
  if (testServer.status === 'rejected' || servers.status === 'rejected') {
    await stopTestServers();
    throw testServer.status === 'rejected' ? testServer.reason : (servers as PromiseRejectedResult).reason;
  }
  const { databaseUrl, temporalAddress } = servers.value;
  Object.assign(process.env, {
    POSTHORN_TEST_DATABASE_URL: databaseUrl,
    POSTHORN_TEST_TEMPORAL_ADDRESS: temporalAddress,
    POSTHORN_TEST_SERVER_PATH: testServer.value,
  });
}

export async function stopTestServers(): Promise<void> {
  if (!running) return;
  const { servers, dataDir } = running;
  running = undefined;
  await servers.stop();
  await removeDataFolder(dataDir);
}

/** As root the databases may lie elsewhere. */
export async function removeDataFolder(dataDir: string): Promise<void> {
  const postgres = await realpath(join(dataDir, 'postgres')).catch(() => undefined);
  if (postgres !== undefined) await rm(postgres, { recursive: true, force: true });
  await rm(dataDir, { recursive: true, force: true });
}
