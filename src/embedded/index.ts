import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedError } from './embedded-error.js';
import { type FolderLock, FolderLockedError, lockFolder } from './folder-lock.js';
import type { Progress } from './long-step.js';
import { PortMemory } from './port-memory.js';
import { type EmbeddedPostgres, startPostgres } from './postgres.js';
import { type EmbeddedTemporal, startTemporal } from './temporal.js';

export { EmbeddedError, type EmbeddedErrorCode } from './embedded-error.js';
export { findTestServer } from './test-server-binary.js';

export interface EmbeddedOptions {
  /** Holds everything that the servers keep; made when missing. */
  dataDir: string;
  postgres: boolean;
  temporal: boolean;
  /** The Web UI's port when it was set; undefined takes 8233 or a free one. */
  temporalUiPort: number | undefined;
  /** A port that these servers are not to take: this process listens on it once they are up. */
  apiPort?: number;
  searchAttributes: Readonly<Record<string, 'Keyword'>>;
  /** Told what is going on, line by line. */
  progress: Progress;
  /** A server ended without having been told to; it is started again by itself. Without this, `progress` is told. */
  onServerExit?: (server: string, how: string) => void;
}

export interface Embedded {
  databaseUrl?: string;
  temporalAddress?: string;
  temporalUiUrl?: string;
  /** Where the data is, for people. */
  locations: { label: string; path: string }[];
  /** Process numbers of the servers at the moment. */
  pids: () => number[];
  /** Ends the servers in order and lets go of the data folder. */
  stop: () => Promise<void>;
  /** Ends the servers at once and synchronously; the data survives as after a crash. */
  kill: () => void;
}

/**
 * Starts the embedded servers of a data folder, at the same time.
 *
 * @throws EmbeddedError with a message for people; nothing is left running then
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  if (!options.postgres && !options.temporal) {
    return { locations: [], pids: () => [], stop: async () => Promise.resolve(), kill: () => undefined };
  }
  await mkdir(join(options.dataDir, 'logs'), { recursive: true });
  const dataDir = await realpath(options.dataDir);
  const lock = await takeDataFolder(dataDir);
  try {
    return await startIn(dataDir, lock, options);
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function takeDataFolder(dataDir: string): Promise<FolderLock> {
  try {
    return await lockFolder(dataDir);
  } catch (error) {
    if (!(error instanceof FolderLockedError)) throw error;
    throw new EmbeddedError(
      'data_folder_in_use',
      `the data folder ${dataDir} is in use by another Posthorn, process ${error.pid}. Stop that one, or give this one its own POSTHORN_DATA_DIR and POSTHORN_PORT`,
      { cause: error },
    );
  }
}

async function startIn(dataDir: string, lock: FolderLock, options: EmbeddedOptions): Promise<Embedded> {
  const { progress, searchAttributes } = options;
  const onExit =
    options.onServerExit ??
    ((server: string, how: string) => progress(`${server} ended by itself (${how}); starting it again`));
  const ports = await PortMemory.load(join(dataDir, 'ports.json'));
  for (const port of [options.temporalUiPort, options.apiPort]) if (port !== undefined) ports.reserve(port);
  const logs = join(dataDir, 'logs');
  const common = { dataDir, ports, progress, onExit };
  const [postgres, temporal] = await bothOrNeither(
    options.postgres ? startPostgres({ ...common, logPath: join(logs, 'postgres.log') }) : undefined,
    options.temporal
      ? startTemporal({
          ...common,
          logPath: join(logs, 'temporal.log'),
          uiPort: options.temporalUiPort,
          searchAttributes,
        })
      : undefined,
  );
  const servers = [temporal, postgres].filter((server) => server !== undefined);
  return {
    ...(postgres && { databaseUrl: postgres.databaseUrl }),
    ...(temporal && { temporalAddress: temporal.address, temporalUiUrl: temporal.uiUrl }),
    locations: [
      { label: 'data folder', path: dataDir },
      ...(postgres ? [{ label: 'PostgreSQL', path: postgres.folder }] : []),
      ...(temporal ? [{ label: 'Temporal', path: temporal.folder }] : []),
      { label: 'server logs', path: logs },
    ],
    pids: () => servers.map((server) => server.pid()).filter((pid) => pid !== undefined),
    stop: async () => {
      await Promise.all(servers.map((server) => server.stop()));
      lock.release();
    },
    kill: () => {
      for (const server of servers) server.kill();
      lock.release();
    },
  };
}

async function bothOrNeither(
  postgres: Promise<EmbeddedPostgres> | undefined,
  temporal: Promise<EmbeddedTemporal> | undefined,
): Promise<[EmbeddedPostgres | undefined, EmbeddedTemporal | undefined]> {
  const [first, second] = await Promise.allSettled([postgres, temporal]);
  if (first.status === 'fulfilled' && second.status === 'fulfilled') return [first.value, second.value];
  if (first.status === 'fulfilled') await first.value?.stop();
  if (second.status === 'fulfilled') await second.value?.stop();
  throw first.status === 'rejected' ? first.reason : (second as PromiseRejectedResult).reason;
}
