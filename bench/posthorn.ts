import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';
import type { Priority } from '../src/common/priority.js';
import { freePort } from '../src/embedded/ports.js';
import type { CreateEndpointBody } from '../src/endpoints/endpoints.schema.js';
import type { PutTransformationBody } from '../src/transformations/transformations.schema.js';
import { payload } from './load/payload.js';
import type { Target } from './load/target.js';
import { databaseSize, type Servers } from './servers.js';

export const LANES = ['durable', 'express', 'auto'] as const;
export type Lane = (typeof LANES)[number];

export interface EventOptions {
  payloadBytes: number;
  type?: string;
  priority?: Priority;
  /** In place of a payload of that size. */
  data?: unknown;
}

/** What one process does. */
export type Roles = 'api,worker' | 'api' | 'worker';

/** What the processes of one system share. */
interface PosthornSystem {
  /** Of its task queue. */
  name: string;
  databaseUrl: string;
  key: string;
  encryptionKeys: string;
  settings: Record<string, string>;
}

const READY_WITHIN_MS = 60_000;
const ASK_EVERY_MS = 50;
const CONNECTIONS = 50;

/** Posthorn in a process of its own, started as in production. */
export class Posthorn {
  private readonly url: string;
  private readonly pool: Pool;
  private readonly headers: Record<string, string>;

  private constructor(
    readonly lane: Lane,
    private readonly child: ChildProcess,
    port: number,
    private readonly system: PosthornSystem,
  ) {
    this.url = `http://127.0.0.1:${port}`;
    this.pool = new Pool(this.url, { connections: CONNECTIONS });
    this.headers = { authorization: `Bearer ${system.key}`, 'content-type': 'application/json' };
  }

  /** Another process of the same system that works off what this one accepts. */
  worker: Posthorn | undefined;

  /** The first process of a system of its own. @returns it, still starting: see {@link ready} */
  static async spawn(
    servers: Servers,
    lane: Lane,
    roles: Roles,
    settings: Record<string, string>,
  ): Promise<Posthorn> {
    const name = `bench_${lane}_${process.pid}_${Date.now()}`;
    return Posthorn.start(servers, lane, roles, {
      name,
      databaseUrl: await servers.createDatabase(`posthorn_${name}`),
      key: `phk_${randomBytes(32).toString('base64url')}`,
      encryptionKeys: `bench:${randomBytes(32).toString('base64')}`,
      settings,
    });
  }

  /** One more process of the same system. */
  spawnBeside(servers: Servers, roles: Roles): Promise<Posthorn> {
    return Posthorn.start(servers, this.lane, roles, this.system);
  }

  private static async start(
    servers: Servers,
    lane: Lane,
    roles: Roles,
    system: PosthornSystem,
  ): Promise<Posthorn> {
    const port = await freePort();
    const { name, databaseUrl, key, encryptionKeys, settings } = system;
    const script = fileURLToPath(new URL('../src/main.js', import.meta.url));
    const child = spawn(process.execPath, [script], {
      stdio: ['ignore', 'ignore', 'inherit'],
      // A Ctrl-C in the terminal is the bench's to pass on: a second signal would mean "at once".
      detached: true,
      env: {
        ...process.env,
        ...settings,
        POSTHORN_PORT: String(port),
        POSTHORN_ROLES: roles,
        POSTHORN_ROOT_KEY: key,
        POSTHORN_DATABASE_URL: databaseUrl,
        POSTHORN_TEMPORAL_ADDRESS: servers.temporalAddress,
        POSTHORN_TEMPORAL_NAMESPACE: servers.namespace,
        // Its own: another Posthorn on the same cluster would take these deliveries, and has another database.
        POSTHORN_TEMPORAL_TASK_QUEUE: name,
        POSTHORN_ENCRYPTION_KEYS: encryptionKeys,
        POSTHORN_EGRESS_ALLOW: '127.0.0.0/8',
        POSTHORN_LANE: lane,
        // Trouble is part of what is measured, and its warnings would hide the progress.
        POSTHORN_LOG_LEVEL: 'error',
      },
    });
    return new Posthorn(lane, child, port, system);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  async ready(): Promise<void> {
    const until = Date.now() + READY_WITHIN_MS;
    while (!(await this.answersReady())) {
      if (this.child.exitCode !== null) throw new Error(`Posthorn, ${this.lane}, did not start`);
      if (Date.now() > until) throw new Error(`Posthorn was not ready within ${READY_WITHIN_MS / 1000} s`);
      await sleep(ASK_EVERY_MS);
    }
  }

  async createAccount(name: string): Promise<string> {
    return this.create('/v1/accounts', { name });
  }

  async createEndpoint(accountId: string, endpoint: CreateEndpointBody): Promise<string> {
    return this.create(`/v1/accounts/${accountId}/endpoints`, endpoint);
  }

  async putTransformation(accountId: string, endpointId: string, body: PutTransformationBody): Promise<void> {
    await this.call('PUT', `/v1/accounts/${accountId}/endpoints/${endpointId}/transformation`, body);
  }

  async deleteEndpoint(accountId: string, endpointId: string): Promise<void> {
    await this.call('DELETE', `/v1/accounts/${accountId}/endpoints/${endpointId}`);
  }

  /** @returns the event's id, its `webhook-id` */
  async publish(accountId: string, options: EventOptions): Promise<string> {
    return this.create(`/v1/accounts/${accountId}/events`, eventOf(options));
  }

  /** Whether a delivery of the account still has its first attempt before it, or under way. */
  async hasPending(accountId: string): Promise<boolean> {
    const text = await this.call('GET', `/v1/accounts/${accountId}/deliveries?status=pending&limit=1`);
    return (JSON.parse(text) as { data: unknown[] }).data.length > 0;
  }

  /** Whether deliveries whose first attempt failed still wait for their workflow to be started. */
  async isHandingOver(): Promise<boolean> {
    return (await this.working.metric('posthorn_hand_over_backlog')) > 0;
  }

  /** How many first attempts went each way. */
  async firstAttempts(): Promise<{ durable: number; express: number }> {
    const count = (lane: Lane) => this.working.metric(`posthorn_first_attempts_total{lane="${lane}"}`);
    return { durable: await count('durable'), express: await count('express') };
  }

  /** Bytes of the tables with their indexes, and bytes that PostgreSQL's log ever had. */
  databaseSize(): Promise<{ tables: number; log: number }> {
    return databaseSize(this.system.databaseUrl);
  }

  /** Where a load generator publishes events of an account, one by one. */
  events(accountId: string, options: EventOptions): Target {
    return this.target(`/v1/accounts/${accountId}/events`, eventOf(options), 'answered');
  }

  /** Where a load generator publishes `size` events of an account at once. */
  batches(accountId: string, options: EventOptions, size: number): Target {
    const events = Array.from({ length: size }, () => eventOf(options));
    return this.target(`/v1/accounts/${accountId}/events/batch`, { events }, 'answered-batch');
  }

  async close(): Promise<void> {
    await this.pool.destroy();
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exited;
  }

  private get working(): Posthorn {
    return this.worker ?? this;
  }

  /** @returns 0 for one that is not there yet */
  private async metric(name: string): Promise<number> {
    const lines = (await this.call('GET', '/metrics')).split('\n');
    const line = lines.find((each) => each.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1) ?? 0);
  }

  private target(path: string, body: unknown, ids: Target['ids']): Target {
    return { origin: this.url, path, headers: this.headers, body: JSON.stringify(body), ids };
  }

  private async create(path: string, body: unknown): Promise<string> {
    return (JSON.parse(await this.call('POST', path, body)) as { id: string }).id;
  }

  private async call(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: unknown,
  ): Promise<string> {
    const { authorization = '' } = this.headers;
    const response = await this.pool.request({
      path,
      method,
      headers: body === undefined ? { authorization } : this.headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.body.text();
    if (response.statusCode >= 300)
      throw new Error(`${method} ${path} answered ${response.statusCode}: ${text}`);
    return text;
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

const eventOf = ({ payloadBytes, type = 'bench.delivered', priority, data }: EventOptions) => ({
  type,
  data: data ?? payload(payloadBytes),
  ...(priority && { priority }),
});
