import { Connection } from '@temporalio/client';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedError } from './embedded-error.js';
import type { PortMemory } from './port-memory.js';
import { isPortFree } from './ports.js';
import { endProcess, findProcesses, type StopSignals } from './processes.js';
import { type ServerEvents, ServerProcess } from './server-process.js';
import { findTemporalCli } from './temporal-binary.js';

const NAMESPACE = 'default';
const DEFAULT_UI_PORT = 8233;
const READY_WITHIN_MS = 120_000;
const CONNECT_TIMEOUT_MS = 2_000;

const STOP: StopSignals = [
  ['SIGTERM', 6_000],
  ['SIGKILL', 5_000],
];

/**
 * Write-ahead log: 2.7 times the workflows per second of the file as the dev server opens it, and it survives `kill -9`.
 * Whoever writes waits for a checkpoint; at SQLite's 1,000 pages one comes every 75 ms under load, and writes the same pages
 * again and again.
 */
const PRAGMAS = ['journal_mode=WAL', 'synchronous=NORMAL', 'wal_autocheckpoint=8000'];

const DYNAMIC_CONFIG: Record<string, string> = {
  'system.forceSearchAttributesCacheRefreshOnRead': 'false',
  'system.enableActivityEagerExecution': 'true',
  'matching.numTaskqueueReadPartitions': '1',
  'matching.numTaskqueueWritePartitions': '1',
  'matching.enableFairness': 'true',
  // Timers are a second coarse without it.
  'history.timerProcessorMaxTimeShift': '"10ms"',
  'frontend.rps': '100000',
  'frontend.namespaceRPS': '100000',
  'history.rps': '100000',
  'matching.rps': '100000',
};

export interface EmbeddedTemporal {
  address: string;
  uiUrl: string;
  folder: string;
  pid: () => number | undefined;
  stop: () => Promise<void>;
  kill: () => void;
}

export interface TemporalOptions extends ServerEvents {
  dataDir: string;
  ports: PortMemory;
  logPath: string;
  /** The Web UI's port when it was set; undefined takes 8233 or a free one. */
  uiPort: number | undefined;
  searchAttributes: Readonly<Record<string, 'Keyword'>>;
}

/**
 * Starts the Temporal server of a data folder, and ends one that a killed run left behind.
 *
 * @throws EmbeddedError
 */
export async function startTemporal(options: TemporalOptions): Promise<EmbeddedTemporal> {
  const { dataDir, ports, logPath, searchAttributes } = options;
  const folder = join(dataDir, 'temporal');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const database = join(folder, 'temporal.db');
  await endOrphans(database);
  await requireFreeUiPort(options.uiPort);
  const command = await findTemporalCli(options.progress);

  const port = await ports.take('temporal');
  const httpPort = await ports.take('temporal-http');
  const metricsPort = await ports.take('temporal-metrics');
  const uiPort = options.uiPort ?? (await ports.take('temporal-ui', DEFAULT_UI_PORT));
  const address = `127.0.0.1:${port}`;
  const server = await ServerProcess.start(
    {
      name: 'Temporal',
      command,
      args: [
        ...['server', 'start-dev', '--db-filename', database, '--ip', '127.0.0.1', '--headless=false'],
        ...['--port', String(port), '--http-port', String(httpPort), '--metrics-port', String(metricsPort)],
        ...['--ui-port', String(uiPort), '--log-level', 'warn'],
        ...PRAGMAS.flatMap((pragma) => ['--sqlite-pragma', pragma]),
        ...Object.entries(DYNAMIC_CONFIG).flatMap(([key, value]) => [
          '--dynamic-config-value',
          `${key}=${value}`,
        ]),
        ...Object.entries(searchAttributes).flatMap(([name, type]) => [
          '--search-attribute',
          `${name}=${type}`,
        ]),
      ],
      env: serverEnvironment(),
      cwd: folder,
      logPath,
      stopSignals: STOP,
      killSignal: 'SIGKILL',
      readyWithinMs: READY_WITHIN_MS,
      isReady: () => serves(address, Object.keys(searchAttributes)),
      prepare: () => endOrphans(database),
    },
    options,
  );
  return {
    address,
    uiUrl: `http://127.0.0.1:${uiPort}`,
    folder,
    pid: () => server.pid,
    stop: () => server.stop(),
    kill: () => server.kill(),
  };
}

/** Said at once, not after the server has been built for minutes. */
async function requireFreeUiPort(wanted: number | undefined): Promise<void> {
  if (wanted === undefined || (await isPortFree(wanted))) return;
  throw new EmbeddedError(
    'ui_port_taken',
    `POSTHORN_TEMPORAL_UI_PORT: port ${wanted} is taken by another program; set it to a free port, or leave it unset`,
  );
}

/** Ours is only a server that was started on exactly this file. */
async function endOrphans(database: string): Promise<void> {
  const orphans = await findProcesses(
    ([, server, start, flag, file]) =>
      server === 'server' && start === 'start-dev' && flag === '--db-filename' && file === database,
  );
  await Promise.all(orphans.map((pid) => endProcess(pid, STOP)));
}

/** Nothing of the caller's own Temporal settings, which the CLI would follow. */
function serverEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(TEMPORAL_|POSTHORN_)/.test(name));
  return { ...Object.fromEntries(kept), GOGC: '400' };
}

async function serves(address: string, searchAttributes: readonly string[]): Promise<boolean> {
  let connection: Connection | undefined;
  try {
    connection = await Connection.connect({ address, connectTimeout: CONNECT_TIMEOUT_MS });
    const { workflowService, operatorService } = connection;
    return await connection.withDeadline(Date.now() + CONNECT_TIMEOUT_MS, async () => {
      await workflowService.describeNamespace({ namespace: NAMESPACE });
      const { customAttributes } = await operatorService.listSearchAttributes({ namespace: NAMESPACE });
      return searchAttributes.every((name) => name in customAttributes);
    });
  } catch {
    return false;
  } finally {
    await connection?.close().catch(() => undefined);
  }
}
