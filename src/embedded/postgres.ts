import { randomBytes } from 'node:crypto';
import { access, chmod, chown, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import pg from 'pg';
import { lockFolder, type FolderLock } from './folder-lock.js';
import { longStep, runCommand } from './long-step.js';
import { type PostgresHome, postgresHome } from './postgres-home.js';
import type { PortMemory } from './port-memory.js';
import { endProcess, findProcesses, type StopSignals } from './processes.js';
import { type ServerEvents, ServerProcess } from './server-process.js';

const ROLE = 'posthorn';
const DATABASE = 'posthorn';
const INITDB_TIMEOUT_MS = 120_000;
/** Crash recovery of a large write-ahead log may take minutes on a slow disk. */
const READY_WITHIN_MS = 300_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** Larger than any process number: reads as a process that is gone. */
const NO_PROCESS = '999999999';

/** SIGINT: "fast", clients are disconnected and everything is written; SIGQUIT: "immediate", recovered at the next start. */
const STOP: StopSignals = [
  ['SIGINT', 15_000],
  ['SIGQUIT', 5_000],
  ['SIGKILL', 5_000],
];

/** Every commit is on disk before it is answered; the rest is for a small machine with one busy client. */
const PARAMETERS: Record<string, string> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '200',
  fsync: 'on',
  synchronous_commit: 'on',
  shared_buffers: '256MB',
  work_mem: '8MB',
  maintenance_work_mem: '64MB',
  wal_level: 'minimal',
  max_wal_senders: '0',
  wal_buffers: '16MB',
  min_wal_size: '128MB',
  max_wal_size: '1GB',
  checkpoint_timeout: '10min',
  checkpoint_completion_target: '0.9',
  random_page_cost: '1.1',
  jit: 'off',
  io_method: 'sync',
  // Parallel queries gain nothing on two cores and need shared memory that containers give sparingly.
  max_parallel_workers_per_gather: '0',
  max_parallel_maintenance_workers: '0',
  autovacuum_naptime: '20s',
  timezone: 'UTC',
  log_timezone: 'UTC',
  max_logical_replication_workers: '0',
  logging_collector: 'off',
  log_checkpoints: 'off',
};

export interface EmbeddedPostgres {
  databaseUrl: string;
  /** The true folder of the databases, which as root may lie outside the data folder. */
  folder: string;
  pid: () => number | undefined;
  stop: () => Promise<void>;
  kill: () => void;
}

export interface PostgresOptions extends ServerEvents {
  dataDir: string;
  ports: PortMemory;
  logPath: string;
}

/** Starts the PostgreSQL of a data folder, makes it first where there is none, and ends one that a killed run left behind. */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const { dataDir, ports, logPath, progress } = options;
  const home = await postgresHome(dataDir, progress);
  // A copy of the data folder may point to the same home.
  const lock = await lockFolder(home.folder);
  try {
    return await startIn(home, lock, options, ports, logPath);
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function startIn(
  home: PostgresHome,
  lock: FolderLock,
  events: ServerEvents,
  ports: PortMemory,
  logPath: string,
): Promise<EmbeddedPostgres> {
  const { folder, binaries, user } = home;
  const data = join(folder, 'data');
  await endOrphans(data);
  const password = await rememberedPassword(folder);
  if (!(await exists(data))) {
    await longStep(events.progress, 'making the embedded PostgreSQL database', () => initialise(home, data));
  }
  const port = await ports.take('postgres');
  const url = (database: string) => `postgres://${ROLE}:${password}@127.0.0.1:${port}/${database}`;
  const parameters = { ...PARAMETERS, port: String(port) };
  const server = await ServerProcess.start(
    {
      name: 'PostgreSQL',
      command: join(binaries.root, 'bin', 'postgres'),
      args: [
        '-D',
        data,
        ...Object.entries(parameters).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ],
      env: serverEnvironment(),
      cwd: folder,
      ...(user && { user }),
      logPath,
      stopSignals: STOP,
      killSignal: 'SIGQUIT',
      readyWithinMs: READY_WITHIN_MS,
      isReady: () => answers(url('postgres')),
      prepare: () => prepare(data),
    },
    events,
  );
  try {
    await createDatabase(url('postgres'));
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    databaseUrl: url(DATABASE),
    folder,
    pid: () => server.pid,
    stop: async () => {
      await server.stop();
      lock.release();
    },
    kill: () => {
      server.kill();
      lock.release();
    },
  };
}

async function prepare(data: string): Promise<void> {
  await endOrphans(data);
  await disownStalePid(data);
}

/** Ours is only a server that was started on exactly this folder. */
async function endOrphans(data: string): Promise<void> {
  const orphans = await findProcesses(
    ([command = '', flag, folder]) => basename(command) === 'postgres' && flag === '-D' && folder === data,
  );
  for (const pid of orphans) await endProcess(pid, STOP);
}

/**
 * PostgreSQL refuses to start while the process of its last run seems to be alive, also when the number belongs to another
 * program by now or to a zombie. Only the number is replaced: the rest of the file guards against surviving children.
 */
async function disownStalePid(data: string): Promise<void> {
  const path = join(data, 'postmaster.pid');
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return;
  const [pid = '', ...rest] = text.split('\n');
  if (pid === NO_PROCESS || !isNumberInUse(Number(pid))) return;
  await writeFile(path, [NO_PROCESS, ...rest].join('\n'));
}

function isNumberInUse(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function rememberedPassword(folder: string): Promise<string> {
  const path = join(folder, 'password');
  const known = (await readFile(path, 'utf8').catch(() => '')).trim();
  if (known !== '') return known;
  const made = randomBytes(24).toString('base64url');
  await writeFile(`${path}.new`, made, { mode: 0o600 });
  await chmod(`${path}.new`, 0o600);
  await rename(`${path}.new`, path);
  return made;
}

/** In a folder beside, renamed at the end: what a killed run began is thrown away, and never taken for a database. */
async function initialise({ folder, binaries, user }: PostgresHome, data: string): Promise<void> {
  const draft = join(folder, 'data.new');
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { mode: 0o700 });
  const passwordFile = join(folder, 'data.password');
  await writeFile(passwordFile, `${await rememberedPassword(folder)}\n`, { mode: 0o600 });
  if (user) {
    await chown(draft, user.uid, user.gid);
    await chown(passwordFile, user.uid, user.gid);
  }
  const args = [
    `--pgdata=${draft}`,
    `--username=${ROLE}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
  ];
  try {
    await runCommand(join(binaries.root, 'bin', 'initdb'), args, {
      timeoutMs: INITDB_TIMEOUT_MS,
      env: serverEnvironment(),
      cwd: folder,
      ...(user && { uid: user.uid, gid: user.gid }),
    });
  } finally {
    await rm(passwordFile, { force: true });
  }
  await rename(draft, data);
}

/** Nothing of the caller's own PostgreSQL settings (`PGDATA`, `PGPORT`, …) or language. */
function serverEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(PG|LC_|LANG|POSTHORN_)/.test(name));
  return { ...Object.fromEntries(kept), LC_ALL: 'C', TZ: 'UTC' };
}

async function answers(connectionString: string): Promise<boolean> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function createDatabase(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
  } finally {
    await client.end();
  }
}

const exists = async (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
