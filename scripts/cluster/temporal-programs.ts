import { chmod, rename } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import {
  cacheFolder,
  fillCache,
  firstThatWorks,
  isExecutable,
  type Tried,
} from '../../src/embedded/binary-cache.js';
import { longStep, type Progress, runCommand } from '../../src/embedded/long-step.js';

/** The server that docker-compose.yml runs, and one whose go.mod has no `replace`: only such can be installed by `go install`. */
export const SERVER_VERSION = '1.31.0';
const MODULE = 'go.temporal.io/server';
const VERSION_TIMEOUT_MS = 20_000;
const BUILD_TIMEOUT_MS = 1_800_000;
const CACHE_ENTRY = `temporal-server-${SERVER_VERSION}-${process.platform}-${process.arch}`;

/** Each by the name that Temporal's own releases give it, and where `go install` finds it. */
const PACKAGES = { 'temporal-server': 'cmd/server', 'temporal-sql-tool': 'cmd/tools/sql' };

export interface TemporalPrograms {
  server: string;
  sqlTool: string;
}

/**
 * Temporal's server and its schema tool, of one version: on PATH, cached, or built from Go modules.
 *
 * @throws an Error that says what was tried and what to do
 */
export async function findTemporalPrograms(progress: Progress): Promise<TemporalPrograms> {
  const found = await firstThatWorks([
    { name: "'temporal-server' and 'temporal-sql-tool' on PATH", get: onPath },
    { name: `the cache ${cacheFolder()}`, get: cached },
    { name: `'go install ${MODULE}' of version ${SERVER_VERSION}`, get: () => built(progress) },
  ]);
  if ('path' in found) return inFolder(found.path);
  throw new Error(nothingWorked(found.tried));
}

const inFolder = (folder: string): TemporalPrograms => ({
  server: join(folder, 'temporal-server'),
  sqlTool: join(folder, 'temporal-sql-tool'),
});

async function onPath(): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    if (folder !== '' && (await bothIn(folder))) return folder;
  }
  return undefined;
}

async function cached(): Promise<string | undefined> {
  const folder = join(cacheFolder(), CACHE_ENTRY);
  return (await bothIn(folder)) ? folder : undefined;
}

/** @throws an Error when they are there and the server is of another version */
async function bothIn(folder: string): Promise<boolean> {
  const { server, sqlTool } = inFolder(folder);
  if (!(await isExecutable(server)) || !(await isExecutable(sqlTool))) return false;
  await requireVersion(server);
  return true;
}

async function requireVersion(server: string): Promise<void> {
  const output = await runCommand(server, ['--version'], { timeoutMs: VERSION_TIMEOUT_MS });
  const [version] = /\d+\.\d+\.\d+/.exec(output) ?? [];
  if (version !== SERVER_VERSION) {
    throw new Error(`${server} is version ${version ?? 'unknown'}, not ${SERVER_VERSION}`);
  }
}

async function built(progress: Progress): Promise<string> {
  await fillCache(CACHE_ENTRY, 'temporal-server', progress, async (draft) => {
    const what = `building the Temporal server ${SERVER_VERSION} with 'go install' (several minutes, this one time)`;
    await longStep(progress, what, async () => {
      try {
        const packages = Object.values(PACKAGES).map((path) => `${MODULE}/${path}@v${SERVER_VERSION}`);
        await runCommand('go', ['install', ...packages], {
          timeoutMs: BUILD_TIMEOUT_MS,
          cwd: draft,
          env: { ...process.env, GOBIN: draft, GOFLAGS: '' },
        });
      } catch (error) {
        throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? new Error('Go is not installed') : error;
      }
    });
    for (const [name, path] of Object.entries(PACKAGES)) {
      await rename(join(draft, path.split('/').at(-1) ?? ''), join(draft, name));
      await chmod(join(draft, name), 0o755);
    }
    await requireVersion(join(draft, 'temporal-server'));
  });
  return join(cacheFolder(), CACHE_ENTRY);
}

const nothingWorked = (tried: readonly Tried[]): string =>
  [
    `no Temporal server ${SERVER_VERSION} was found or could be got:`,
    ...tried.map(({ name, reason }) => `  - ${name}: ${reason}`),
    'One of these helps: install Go (https://go.dev/dl) so that it can be built here; put `temporal-server` and',
    '`temporal-sql-tool` on PATH; or set POSTHORN_TEST_TEMPORAL_ADDRESS to a cluster that runs already.',
  ].join('\n');
