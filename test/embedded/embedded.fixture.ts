import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdtemp, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Embedded, type EmbeddedOptions, startEmbedded } from '../../src/embedded/index.js';
import { findProcesses, isRunning } from '../../src/embedded/processes.js';
import { removeDataFolder } from '../setup/test-servers.js';

const HOLDER = createRequire(import.meta.url).resolve('./holder.mjs');
const POLL_MS = 50;

/** What the tests of one file start, and how all of it ends. */
export class EmbeddedFixture {
  private readonly folders: string[] = [];
  private readonly servers: Embedded[] = [];
  private readonly holders: ChildProcess[] = [];

  async folder(mode = 0o711): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'posthorn-embedded-'));
    await chmod(folder, mode);
    this.folders.push(folder);
    return folder;
  }

  async start(dataDir: string, options: Partial<EmbeddedOptions> = {}): Promise<Embedded> {
    const servers = await startEmbedded({
      dataDir,
      postgres: false,
      temporal: false,
      temporalUiPort: undefined,
      searchAttributes: { Colour: 'Keyword' },
      progress: () => undefined,
      ...options,
    });
    this.servers.push(servers);
    return servers;
  }

  /** The servers in another process. */
  async hold(dataDir: string, which: 'postgres' | 'temporal'): Promise<HeldServers> {
    const child = spawn(process.execPath, [HOLDER, dataDir, which], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.holders.push(child);
    for await (const line of createInterface({ input: child.stdout })) {
      return { ...(JSON.parse(line) as HeldServers), child };
    }
    throw new Error('the process that holds the servers ended at once');
  }

  async end(): Promise<void> {
    for (const holder of this.holders) holder.kill('SIGKILL');
    await Promise.all(this.servers.map((servers) => servers.stop()));
    for (const folder of this.folders) {
      await removeDataFolder(join(folder, 'data'));
      await removeDataFolder(folder);
    }
  }
}

export interface HeldServers {
  databaseUrl?: string;
  temporalAddress?: string;
  pids: number[];
  child: ChildProcess;
}

/** `kill -9` of everything: the holder, its watchdogs and the servers. */
export async function killAll({ child, pids }: HeldServers): Promise<void> {
  await killWatchdogs(pids);
  child.kill('SIGKILL');
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await ended([child.pid ?? 0, ...pids]);
}

/** `kill -9` of the holder and its watchdogs: the servers stay behind. */
export async function orphan({ child, pids }: HeldServers): Promise<number> {
  await killWatchdogs(pids);
  child.kill('SIGKILL');
  await ended([child.pid ?? 0]);
  return pids[0] ?? 0;
}

async function killWatchdogs(pids: readonly number[]): Promise<void> {
  const watched = new Set(pids.map(String));
  const watchdogs = await findProcesses(
    (args) => args.includes('posthorn-watchdog') && watched.has(args.at(-1) ?? ''),
  );
  for (const pid of watchdogs) process.kill(pid, 'SIGKILL');
}

export async function ended(pids: readonly number[]): Promise<void> {
  for (const pid of pids) while (await isRunning(pid)) await sleep(POLL_MS);
}

export async function query(url: string | undefined, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Until a server that was killed answers again. */
export async function eventually<T>(ask: () => Promise<T>, withinMs = 20_000): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(POLL_MS);
    }
  }
}

export const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;
