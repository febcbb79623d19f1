import { chmod, rename } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { cacheFolder, fillCache, firstThatWorks, isExecutable, type Tried } from './binary-cache.js';
import { EmbeddedError } from './embedded-error.js';
import { longStep, type Progress, runCommand } from './long-step.js';
import { officialDownload } from './official-download.js';

/** CLI 1.5.1 has server 1.29.1; later ones cannot be installed by `go install` (their go.mod has a `replace`). */
export const CLI_VERSION = '1.5.1';
const OLDEST_SERVER = [1, 29] as const;
const VERSION_TIMEOUT_MS = 20_000;
const BUILD_TIMEOUT_MS = 1_800_000;
const CACHE_ENTRY = `temporal-cli-${CLI_VERSION}-${process.platform}-${process.arch}`;

/**
 * The path of a Temporal CLI whose server is new enough: named, on PATH, cached, downloaded, or built.
 *
 * @throws EmbeddedError `temporal_cli_not_found`, which says what was tried and what to install
 */
export async function findTemporalCli(progress: Progress): Promise<string> {
  const named = process.env.POSTHORN_TEMPORAL_CLI;
  if (named) return namedCli(named);
  const found = await firstThatWorks([
    { name: "'temporal' on PATH", get: onPath },
    { name: `the cache ${cacheFolder()}`, get: cached },
    { name: 'the official download', get: () => downloaded(progress) },
    { name: `'go install' of version ${CLI_VERSION}`, get: () => built(progress) },
  ]);
  if ('path' in found) return found.path;
  throw new EmbeddedError('temporal_cli_not_found', nothingWorked(found.tried));
}

async function namedCli(path: string): Promise<string> {
  try {
    await requireServer(path);
    return path;
  } catch (error) {
    throw new EmbeddedError(
      'temporal_cli_not_found',
      `POSTHORN_TEMPORAL_CLI=${path}: ${(error as Error).message}`,
    );
  }
}

async function onPath(): Promise<string | undefined> {
  const path = await whichTemporal();
  if (path !== undefined) await requireServer(path);
  return path;
}

async function whichTemporal(): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, 'temporal');
    if (folder !== '' && (await isExecutable(path))) return path;
  }
  return undefined;
}

async function cached(): Promise<string | undefined> {
  const path = join(cacheFolder(), CACHE_ENTRY, 'temporal');
  if (!(await isExecutable(path))) return undefined;
  await requireServer(path);
  return path;
}

async function downloaded(progress: Progress): Promise<string> {
  return fillCache(CACHE_ENTRY, 'temporal', progress, async (draft) => {
    await keepAs(await officialDownload('cli', `v${CLI_VERSION}`, draft, progress), draft);
  });
}

async function built(progress: Progress): Promise<string> {
  return fillCache(CACHE_ENTRY, 'temporal', progress, async (draft) => {
    const what = `building the Temporal server ${CLI_VERSION} with 'go install' (a few minutes, this one time)`;
    await longStep(progress, what, async () => {
      try {
        await runCommand('go', ['install', `github.com/temporalio/cli/cmd/temporal@v${CLI_VERSION}`], {
          timeoutMs: BUILD_TIMEOUT_MS,
          cwd: draft,
          env: { ...process.env, GOBIN: draft, GOFLAGS: '' },
        });
      } catch (error) {
        throw (error as NodeJS.ErrnoException).code === 'ENOENT' ? new Error('Go is not installed') : error;
      }
    });
    await keepAs(join(draft, 'temporal'), draft);
  });
}

async function keepAs(file: string, draft: string): Promise<void> {
  const path = join(draft, 'temporal');
  if (file !== path) await rename(file, path);
  await chmod(path, 0o755);
  await requireServer(path);
}

/** @throws an Error when the program does not say that its server is new enough */
async function requireServer(path: string): Promise<void> {
  let output: string;
  try {
    output = await runCommand(path, ['--version'], { timeoutMs: VERSION_TIMEOUT_MS });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(code === 'ENOENT' ? `${path} does not exist` : `${path} cannot be run: ${message}`);
  }
  const version = /\bServer (\d+)\.(\d+)/i.exec(output);
  const [major, minor] = OLDEST_SERVER;
  if (!version)
    throw new Error(`${path} is not the Temporal CLI ('--version' says: ${output.trim().slice(0, 80)})`);
  const [found, foundMinor] = [Number(version[1]), Number(version[2])];
  if (found < major || (found === major && foundMinor < minor)) {
    throw new Error(`${path} has server ${found}.${foundMinor}; ${major}.${minor} or newer is needed`);
  }
}

const nothingWorked = (tried: readonly Tried[]): string =>
  [
    'no Temporal server was found or could be got:',
    ...tried.map(({ name, reason }) => `  - ${name}: ${reason}`),
    'One of these helps: install the Temporal CLI (https://docs.temporal.io/cli) so that `temporal` is on PATH, or set',
    'POSTHORN_TEMPORAL_CLI to its path; install Go (https://go.dev/dl) so that it can be built here; or set',
    'POSTHORN_TEMPORAL_ADDRESS to a Temporal cluster that runs already.',
  ].join('\n');
