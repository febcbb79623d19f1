import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { readSettings } from '../../src/config/settings.js';
import type { DeliveryShown, DeliverySummary } from '../../src/deliveries/deliveries.schema.js';
import type { EndpointCreated } from '../../src/endpoints/endpoints.schema.js';
import type { Published } from '../../src/events/events.schema.js';
import { createLogger } from '../../src/logging/logger.js';
import { installTemporalRuntime, Posthorn } from '../../src/posthorn.js';
import { KeyRing } from '../../src/secrets/key-ring.js';
import { loadWorkflowBundle } from '../../src/temporal/workflow-bundle.js';
import { Cluster } from './cluster.js';
import { ended, started } from './left-over.js';
import { createDatabase, testServers } from './servers.js';
import { isCluster } from './shape.js';
import { until } from './until.js';

const logLevel = process.env.POSTHORN_TEST_LOG_LEVEL ?? 'silent';
const logger = createLogger(logLevel);
let runtimeInstalled = false;

export interface Answer<Body = Record<string, unknown>> {
  status: number;
  headers: Headers;
  body: Body;
  text: string;
}

export interface SystemOptions {
  /** `POSTHORN_*` settings beside the defaults. */
  env?: Record<string, string>;
  databaseUrl?: string;
  temporalAddress?: string;
  encryptionKeys?: string;
  /** To join another system: the same keys, queue and root key. */
  like?: System;
}

/**
 * A whole Posthorn on the run's servers, with a database and task queue of its own: in this process, or as a cluster of
 * processes (see {@link isCluster}).
 */
export class System {
  private constructor(
    private readonly running: Posthorn | Cluster,
    private readonly drop: () => Promise<void>,
    readonly databaseUrl: string,
    readonly env: Record<string, string>,
    readonly encryptionKeys: string,
  ) {}

  static async start(options: SystemOptions = {}): Promise<System> {
    const { like } = options;
    const given = like?.databaseUrl ?? options.databaseUrl;
    const database =
      given === undefined ? await createDatabase() : { url: given, drop: () => Promise.resolve() };
    const env: Record<string, string> = {
      POSTHORN_PORT: '0',
      POSTHORN_ROOT_KEY: `phk_${randomBytes(32).toString('base64url')}`,
      POSTHORN_TEMPORAL_TASK_QUEUE: `test-${randomBytes(6).toString('hex')}`,
      POSTHORN_SHUTDOWN_SECONDS: '2',
      ...like?.env,
      ...options.env,
    };
    const addresses = {
      databaseUrl: database.url,
      temporalAddress: options.temporalAddress ?? testServers().temporalAddress,
      encryptionKeys: options.encryptionKeys ?? like?.encryptionKeys ?? KeyRing.generate(),
      egressAllow: env.POSTHORN_EGRESS_ALLOW ?? '127.0.0.0/8,::1/128',
    };
    const running = isCluster() ? await startCluster(env, addresses) : await startHere(env, addresses);
    const system = new System(running, database.drop, database.url, env, addresses.encryptionKeys);
    started(system, () => system.stop());
    return system;
  }

  /** Where the API is. A cluster has several, which take turns with each time this is read. */
  get url(): string {
    return this.running instanceof Cluster ? this.running.url : urlOf(this.running);
  }

  /** Of every process, workers too: for what each tells about itself alone. */
  get processes(): string[] {
    return this.running instanceof Cluster ? this.running.urls : [urlOf(this.running)];
  }

  get rootKey(): string {
    return this.env.POSTHORN_ROOT_KEY ?? '';
  }

  /** Something of the running application, by its class. Only where that is this process: see scripts/test-cluster.mjs. */
  get<T>(type: new (...parameters: never[]) => T): T {
    if (this.running instanceof Cluster) throw new Error('the parts of a cluster are in other processes');
    return this.running.get(type);
  }

  async stop(): Promise<void> {
    ended(this);
    await this.running.stop();
    await this.drop();
  }

  /** Calls the API under `/v1`. A string body is sent as it is. */
  async call<Body = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer<Body>> {
    const response = await fetch(`${this.url}/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.rootKey}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const json = text !== '' && (response.headers.get('content-type') ?? '').includes('json');
    return {
      status: response.status,
      headers: response.headers,
      body: (json ? JSON.parse(text) : {}) as Body,
      text,
    };
  }

  /** Like {@link call}, for what must succeed. */
  async ok<Body = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<Body> {
    const answer = await this.call<Body>(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path} answered ${answer.status}: ${answer.text}`);
    return answer.body;
  }

  async account(name = 'Acme'): Promise<Account> {
    const { id } = await this.ok<{ id: string }>('POST', '/accounts', { name });
    return new Account(this, id);
  }

  /** Asks the database itself. */
  async sql<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    const client = new pg.Client(this.databaseUrl);
    await client.connect();
    try {
      return (await client.query<Row>(text, values)).rows;
    } finally {
      await client.end();
    }
  }
}

/** One customer, and what tests do with it over and over. */
export class Account {
  constructor(
    readonly system: System,
    readonly id: string,
  ) {}

  get path(): string {
    return `/accounts/${this.id}`;
  }

  endpoint(body: Record<string, unknown>): Promise<EndpointCreated> {
    return this.system.ok('POST', `${this.path}/endpoints`, body);
  }

  publish(body: Record<string, unknown> = {}): Promise<Published> {
    return this.system.ok('POST', `${this.path}/events`, {
      type: 'invoice.paid',
      data: { amount: 100 },
      ...body,
    });
  }

  async deliveries(query = ''): Promise<DeliverySummary[]> {
    const page = await this.system.ok<{ data: DeliverySummary[] }>(
      'GET',
      `${this.path}/deliveries?limit=250&${query}`,
    );
    return page.data;
  }

  delivery(id: string): Promise<DeliveryShown> {
    return this.system.ok('GET', `${this.path}/deliveries/${id}`);
  }

  /** The delivery of an event to an endpoint (of the only one, where there is one) once `accept` likes it. */
  async deliveryOf(
    event: { id: string },
    accept: (delivery: DeliverySummary) => boolean = () => true,
    endpoint?: { id: string },
  ): Promise<DeliverySummary> {
    const query = `eventId=${event.id}${endpoint ? `&endpointId=${endpoint.id}` : ''}`;
    const found = await until(
      async () => (await this.deliveries(query))[0],
      (delivery) => delivery !== undefined && accept(delivery),
    );
    if (!found) throw new Error('there is no such delivery');
    return found;
  }
}

interface Addresses {
  databaseUrl: string;
  temporalAddress: string;
  encryptionKeys: string;
  egressAllow: string;
}

async function startHere(env: Record<string, string>, addresses: Addresses): Promise<Posthorn> {
  if (!runtimeInstalled) installTemporalRuntime(logger);
  runtimeInstalled = true;
  return Posthorn.start({
    ...addresses,
    settings: readSettings(env),
    logger,
    webUiUrl: null,
    workflowBundle: await loadWorkflowBundle(),
  });
}

function startCluster(env: Record<string, string>, addresses: Addresses): Promise<Cluster> {
  return Cluster.start({
    POSTHORN_LOG_LEVEL: logLevel,
    ...env,
    POSTHORN_DATABASE_URL: addresses.databaseUrl,
    POSTHORN_TEMPORAL_ADDRESS: addresses.temporalAddress,
    POSTHORN_ENCRYPTION_KEYS: addresses.encryptionKeys,
    POSTHORN_EGRESS_ALLOW: addresses.egressAllow,
  });
}

const urlOf = (posthorn: Posthorn): string => `http://127.0.0.1:${posthorn.port}`;
