import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';
import { type Begin, type Begun, flood, pace } from './load.js';
import type { Side } from './side.js';

export interface PosthornSideOptions {
  databaseUrl: string;
  temporalAddress: string;
  namespace: string;
  receiverUrl: string;
  payloadBytes: number;
  /** Connections of the load generator. */
  publishers: number;
}

const READY_WITHIN_MS = 60_000;
const ASK_EVERY_MS = 50;

/** Posthorn with both roles in a process of its own, started as in production and driven over HTTP. */
export class PosthornSide implements Side {
  private path = '';
  private readonly body: string;
  private readonly headers: Record<string, string>;
  private readonly pool: Pool;

  private constructor(
    private readonly child: ChildProcess,
    url: string,
    key: string,
    options: PosthornSideOptions,
  ) {
    this.pool = new Pool(url, { connections: options.publishers });
    this.headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    this.body = JSON.stringify({
      type: 'bench.delivered',
      data: { filler: 'x'.repeat(options.payloadBytes) },
    });
  }

  static async open(options: PosthornSideOptions): Promise<PosthornSide> {
    const port = await freePort();
    const key = `phk_${randomBytes(32).toString('base64url')}`;
    const script = fileURLToPath(new URL('../src/main.js', import.meta.url));
    const child = spawn(process.execPath, [script], {
      stdio: ['ignore', 'ignore', 'inherit'],
      // A Ctrl-C in the terminal is the bench's to pass on: a second signal would mean "at once".
      detached: true,
      env: {
        ...process.env,
        POSTHORN_PORT: String(port),
        POSTHORN_ROLES: 'api,worker',
        POSTHORN_ROOT_KEY: key,
        POSTHORN_DATABASE_URL: options.databaseUrl,
        POSTHORN_TEMPORAL_ADDRESS: options.temporalAddress,
        POSTHORN_TEMPORAL_NAMESPACE: options.namespace,
        // Its own: another Posthorn on the same cluster would take these deliveries, and has another database.
        POSTHORN_TEMPORAL_TASK_QUEUE: `bench-posthorn-${process.pid}`,
        POSTHORN_ENCRYPTION_KEYS: `bench:${randomBytes(32).toString('base64')}`,
        POSTHORN_EGRESS_ALLOW: '127.0.0.0/8',
        POSTHORN_LANE: 'durable',
        POSTHORN_LOG_LEVEL: 'warn',
      },
    });
    const side = new PosthornSide(child, `http://127.0.0.1:${port}`, key, options);
    try {
      await side.ready();
      const account = await side.call('/v1/accounts', JSON.stringify({ name: 'bench' }));
      await side.call(`/v1/accounts/${account.id}/endpoints`, JSON.stringify({ url: options.receiverUrl }));
      side.path = `/v1/accounts/${account.id}/events`;
      return side;
    } catch (error) {
      await side.close();
      throw error;
    }
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  flood(events: number, publishers: number): Promise<Begun> {
    return flood(this.begin, events, publishers);
  }

  pace(events: number, perSecond: number): Promise<Begun> {
    return pace(this.begin, events, perSecond);
  }

  async close(): Promise<void> {
    await this.pool.destroy();
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exited;
  }

  private readonly begin: Begin = async () => (await this.call(this.path, this.body)).id;

  private async call(path: string, body: string): Promise<{ id: string }> {
    const response = await this.pool.request({ path, method: 'POST', headers: this.headers, body });
    const text = await response.body.text();
    if (response.statusCode >= 300) throw new Error(`POST ${path} answered ${response.statusCode}: ${text}`);
    return JSON.parse(text) as { id: string };
  }

  private async ready(): Promise<void> {
    const until = Date.now() + READY_WITHIN_MS;
    while (!(await this.answersReady())) {
      if (this.child.exitCode !== null) throw new Error(`Posthorn ended (${this.child.exitCode})`);
      if (Date.now() > until) throw new Error(`Posthorn was not ready within ${READY_WITHIN_MS / 1000} s`);
      await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    }
  }

  private async answersReady(): Promise<boolean> {
    try {
      const response = await this.pool.request({ path: '/readyz', method: 'GET' });
      await response.body.dump();
      return response.statusCode === 200;
    } catch {
      return false;
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
