import { join } from 'node:path';
import { ServerProcess } from '../../src/embedded/server-process.js';
import type { StopSignals } from '../../src/embedded/processes.js';
import { TcpProxy } from '../support/tcp-proxy.js';

export interface PosthornOptions {
  name: string;
  roles: 'api' | 'worker';
  port: number;
  /** The folder that the program was built in. */
  build: string;
  databaseUrl: string;
  temporalAddress: string;
  env: Record<string, string>;
  logs: string;
  /** Told when it ends without having been told to, and not by a SIGKILL of ours, or hangs instead of starting. */
  onTrouble: (what: string) => void;
}

const READY_WITHIN_MS = 60_000;
const SHUTDOWN_SECONDS = 10;
const STOP: StopSignals = [
  ['SIGTERM', (SHUTDOWN_SECONDS + 10) * 1000],
  ['SIGKILL', 5_000],
];

/** One process of Posthorn, kept running by a supervisor, with a line of its own to each server it depends on. */
export class PosthornServer {
  private constructor(
    private readonly options: PosthornOptions,
    readonly lines: { database: TcpProxy; temporal: TcpProxy },
    private process: ServerProcess,
  ) {}

  static async start(options: PosthornOptions): Promise<PosthornServer> {
    const database = new URL(options.databaseUrl);
    const [host = '', port = ''] = options.temporalAddress.split(':');
    const lines = {
      database: await TcpProxy.start(database.hostname, Number(database.port)),
      temporal: await TcpProxy.start(host, Number(port)),
    };
    return new PosthornServer(options, lines, await launch(options, lines));
  }

  get pid(): number | undefined {
    return this.process.pid;
  }

  /** Resolves with true when it and all that it depends on answer. */
  async isReady(): Promise<boolean> {
    return answers(`http://127.0.0.1:${this.options.port}/readyz`);
  }

  /** Stops it in order and starts what was built in another folder in its place. */
  async replaceBy(build: string): Promise<void> {
    await this.process.stop();
    this.process = await launch({ ...this.options, build }, this.lines);
  }

  kill(): void {
    this.process.kill();
  }

  async close(): Promise<void> {
    this.process.kill();
    await this.process.stop();
    await Promise.all([this.lines.database.stop(), this.lines.temporal.stop()]);
  }
}

function launch(options: PosthornOptions, lines: PosthornServer['lines']): Promise<ServerProcess> {
  const { name, roles, port, build, env, logs, onTrouble } = options;
  const databaseUrl = new URL(options.databaseUrl);
  databaseUrl.host = lines.database.address;
  const inherited = Object.entries(process.env).filter(
    ([variable]) => !/^(POSTHORN_|NODE_OPTIONS|NODE_ENV)/.test(variable),
  );
  return ServerProcess.start(
    {
      name,
      command: process.execPath,
      args: [join(build, 'dist', 'src', 'main.js')],
      env: {
        ...Object.fromEntries(inherited),
        POSTHORN_PORT: String(port),
        POSTHORN_ROLES: roles,
        POSTHORN_DATABASE_URL: databaseUrl.href,
        POSTHORN_TEMPORAL_ADDRESS: lines.temporal.address,
        POSTHORN_EGRESS_ALLOW: '127.0.0.0/8',
        POSTHORN_SHUTDOWN_SECONDS: String(SHUTDOWN_SECONDS),
        ...env,
      },
      cwd: build,
      logPath: join(logs, `${name}.log`),
      stopSignals: STOP,
      killSignal: 'SIGKILL',
      readyWithinMs: READY_WITHIN_MS,
      isReady: () => answers(`http://127.0.0.1:${port}/healthz`),
      prepare: () => Promise.resolve(),
    },
    {
      // To end while what it needs is away is right, to hang is not.
      progress: (line) => {
        if (line.includes('does not answer')) onTrouble(line);
      },
      onExit: (_name, how) => {
        if (how !== 'SIGKILL') onTrouble(`${name} ended by itself (${how})`);
      },
    },
  );
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(5_000) })).ok;
  } catch {
    return false;
  }
}
