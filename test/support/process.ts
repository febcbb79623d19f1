import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/common/version.js';
import { ended, started } from './left-over.js';
import { testServers } from './servers.js';
import type { System } from './system.js';

/** The program as it is started, in a process of its own that a test may kill. */
export class PosthornProcess {
  private output = '';

  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
  ) {}

  /** Resolves when it says that it is up. */
  static async start(env: Record<string, string>, cwd = PROJECT_ROOT): Promise<PosthornProcess> {
    const inherited = Object.fromEntries(
      Object.entries(process.env).filter(
        ([name]) => !/^(POSTHORN_(?!TEMPORAL_CLI|CACHE_DIR)|NODE_OPTIONS|NODE_ENV)/.test(name),
      ),
    );
    const child = spawn(process.execPath, [join(PROJECT_ROOT, 'dist', 'src', 'main.js')], {
      cwd,
      env: { ...inherited, POSTHORN_PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const url = await new Promise<string>((resolve, reject) => {
      const read = (chunk: Buffer) => {
        output += chunk.toString();
        const [, found] = /(?:API|Worker) +(http:\/\/\S+)\/(?:v1|healthz)/.exec(output) ?? [];
        if (found !== undefined) resolve(found);
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.once('exit', (code) =>
        reject(new Error(`ended with ${code ?? 'a signal'} instead of starting:\n${output}`)),
      );
    });
    const running = new PosthornProcess(child, url);
    running.output = output;
    started(running, () => running.end('SIGTERM'));
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => (running.output += chunk.toString()));
    }
    return running;
  }

  /** One more process of a system, over the same servers, as its settings say. */
  static beside(system: System, env: Record<string, string>): Promise<PosthornProcess> {
    return PosthornProcess.start({
      ...system.env,
      POSTHORN_DATABASE_URL: system.databaseUrl,
      POSTHORN_TEMPORAL_ADDRESS: testServers().temporalAddress,
      POSTHORN_ENCRYPTION_KEYS: system.encryptionKeys,
      POSTHORN_EGRESS_ALLOW: '127.0.0.0/8',
      ...env,
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** What it has printed. */
  get printed(): string {
    return this.output;
  }

  /** @returns its exit code, or null when the signal ended it */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    ended(this);
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    this.child.kill(signal);
    const [code] = (await once(this.child, 'exit')) as [number | null];
    return code;
  }
}
