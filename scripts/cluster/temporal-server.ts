import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import pg from 'pg';
import { longStep, type Progress, runCommand } from '../../src/embedded/long-step.js';
import { PortMemory } from '../../src/embedded/port-memory.js';
import { ServerProcess } from '../../src/embedded/server-process.js';
import { dynamicConfig, serverConfig, SERVICES } from './temporal-config.js';
import { findTemporalPrograms } from './temporal-programs.js';

const NAMESPACE = 'default';
const RETENTION_MS = 72 * 3_600_000;
const SCHEMA_TIMEOUT_MS = 120_000;
const READY_WITHIN_MS = 120_000;
const ASK_WITHIN_MS = 2_000;
const ALREADY_EXISTS = 6;

export interface TemporalServerOptions {
  /** For its configuration and log; made when missing. */
  folder: string;
  /** A PostgreSQL in which it may make databases. */
  postgresUrl: string;
  historyShards: number;
  progress: Progress;
}

/** A Temporal server of the production kind: all services in one process, everything it keeps in PostgreSQL. */
export interface TemporalServer {
  address: string;
  pid: () => number | undefined;
  /** Names of its databases: the store of executions, and visibility. */
  databases: { store: string; visibility: string };
  /** Ends it and drops its databases. */
  remove: () => Promise<void>;
}

/**
 * Makes its databases with Temporal's own schema tool, starts it on free ports of the loopback, and registers the
 * namespace `default`. Posthorn registers its search attributes by itself.
 */
export async function startTemporalServer(options: TemporalServerOptions): Promise<TemporalServer> {
  const { folder, postgresUrl, historyShards, progress } = options;
  const { server: command, sqlTool } = await findTemporalPrograms(progress);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const suffix = randomBytes(4).toString('hex');
  const databases = { store: `temporal_${suffix}`, visibility: `temporal_visibility_${suffix}` };
  const drop = async () => {
    for (const name of Object.values(databases)) {
      await administer(postgresUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    }
  };
  try {
    await longStep(progress, "making the Temporal server's databases", async () => {
      await makeDatabase(sqlTool, postgresUrl, databases.store, 'postgresql/v12/temporal');
      await makeDatabase(sqlTool, postgresUrl, databases.visibility, 'postgresql/v12/visibility');
    });
    const memory = await PortMemory.load(join(folder, 'ports.json'));
    const ports: Record<string, number> = {};
    for (const name of [...SERVICES.flatMap((service) => [service, `${service}-membership`]), 'metrics']) {
      ports[name] = await memory.take(name);
    }
    const dynamicConfigPath = await write(folder, 'dynamic-config.yaml', dynamicConfig());
    const configPath = await write(
      folder,
      'config.yaml',
      serverConfig({ postgresUrl, databases, historyShards, ports, dynamicConfigPath }),
    );
    const address = `127.0.0.1:${ports.frontend ?? 0}`;
    const server = await ServerProcess.start(
      {
        name: 'Temporal on PostgreSQL',
        command,
        args: ['--config-file', configPath, '--allow-no-auth', 'start'],
        env: serverEnvironment(),
        cwd: folder,
        logPath: join(folder, 'temporal.log'),
        stopSignals: [
          ['SIGTERM', 10_000],
          ['SIGKILL', 5_000],
        ],
        killSignal: 'SIGKILL',
        readyWithinMs: READY_WITHIN_MS,
        isReady: () => serves(address),
        prepare: () => Promise.resolve(),
      },
      { progress, onExit: (name, how) => progress(`${name} ended by itself (${how}); starting it again`) },
    );
    return {
      address,
      databases,
      pid: () => server.pid,
      remove: async () => {
        await server.stop();
        await drop();
      },
    };
  } catch (error) {
    await drop();
    throw error;
  }
}

/** JSON is YAML, and has no surprises. */
async function write(folder: string, name: string, content: unknown): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  return path;
}

async function makeDatabase(
  sqlTool: string,
  postgresUrl: string,
  name: string,
  schema: string,
): Promise<void> {
  await administer(postgresUrl, `CREATE DATABASE ${name}`);
  const { hostname, port, username, password } = new URL(postgresUrl);
  const env = {
    ...serverEnvironment(),
    SQL_PLUGIN: 'postgres12',
    SQL_HOST: hostname,
    SQL_PORT: port || '5432',
    SQL_USER: decodeURIComponent(username),
    SQL_PASSWORD: decodeURIComponent(password),
  };
  for (const step of [
    ['setup-schema', '--version', '0.0'],
    ['update-schema', '--schema-name', schema],
  ]) {
    await runCommand(sqlTool, ['--database', name, ...step], { env, timeoutMs: SCHEMA_TIMEOUT_MS });
  }
}

/** Nothing of the caller's own settings, which the server and the tool would follow. */
function serverEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(TEMPORAL_|POSTHORN_|SQL_|PG)/.test(name)),
  );
}

async function administer(postgresUrl: string, statement: string): Promise<void> {
  const client = new pg.Client(postgresUrl);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/** Ready is: the namespace is there and each service knows of it, so that a list of its workflows is answered. */
async function serves(address: string): Promise<boolean> {
  let connection: Connection | undefined;
  try {
    connection = await Connection.connect({ address, connectTimeout: ASK_WITHIN_MS });
    const { workflowService } = connection;
    return await connection.withDeadline(Date.now() + ASK_WITHIN_MS, async () => {
      await workflowService
        .registerNamespace({
          namespace: NAMESPACE,
          workflowExecutionRetentionPeriod: msToTs(RETENTION_MS),
        })
        .catch((error: unknown) => {
          if ((error as { code?: number }).code !== ALREADY_EXISTS) throw error;
        });
      await workflowService.listWorkflowExecutions({ namespace: NAMESPACE });
      return true;
    });
  } catch {
    return false;
  } finally {
    await connection?.close().catch(() => undefined);
  }
}
