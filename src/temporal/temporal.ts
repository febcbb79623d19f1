import { Client } from '@temporalio/client';
import { NamespaceNotFoundError } from '@temporalio/common';
import { NativeConnection } from '@temporalio/worker';
import type { Logger } from 'pino';
import { SEARCH_ATTRIBUTES } from '../../workflows/contracts.js';
import { steadyMs } from '../common/steady-clock.js';
import type { Settings } from '../config/settings.js';

/** gRPC statuses that say "not now": DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAVAILABLE, and CANCELLED by a shutdown. */
const NOT_NOW = [1, 4, 8, 14];
/** Those of them that say that the time was over. */
const LATE = [1, 4];
/** What the native client makes of a connection that breaks. */
const UNKNOWN = 2;
const INVALID_ARGUMENT = 3;
const INDEXED_KEYWORD = 2;
const ATTRIBUTES_KNOWN_WITHIN_MS = 30_000;
const ASK_AGAIN_MS = 250;
const CONNECT_EVERY_MS = 1_000;
const PING_WITHIN_MS = 2_000;
/** After Temporal could not be reached, nobody waits for it this long; the reconciler asks again meanwhile. */
const AWAY_MS = 2_000;

/** Temporal cannot be reached at the moment. */
export class TemporalUnavailableError extends Error {
  readonly code = 'temporal_unavailable';
}

/** It was not even asked: nothing has come of it. */
export class TemporalNotAskedError extends TemporalUnavailableError {}

/**
 * The one connection to Temporal, shared by client and worker: only so can a workflow start eagerly in the process that
 * asks for it. Until Temporal is reachable everything that needs it says so and is done later.
 */
export class Temporal {
  private connected: { connection: NativeConnection; client: Client } | undefined;
  /** Those that were replaced: what was asked on them may still be answered. */
  private readonly replaced: NativeConnection[] = [];
  private waiting: (() => void)[] = [];
  private closed = false;
  private awayUntilMs = 0;
  private connecting: Promise<void> | undefined;
  private registering: Promise<void> | undefined;

  constructor(
    private readonly settings: Settings,
    private readonly address: string,
    private readonly logger: Logger,
  ) {}

  get namespace(): string {
    return this.settings.TEMPORAL_NAMESPACE;
  }

  get taskQueue(): string {
    return this.settings.TEMPORAL_TASK_QUEUE;
  }

  /** Goes on connecting in the background until it succeeds. */
  open(): void {
    this.connecting ??= this.connect();
  }

  /** Resolves with the connection once there is one; rejects when closed before. */
  async ready(): Promise<NativeConnection> {
    while (!this.connected) {
      if (this.closed) throw new TemporalUnavailableError('the connection to Temporal was closed');
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    return this.connected.connection;
  }

  /** Has another connection made in place of this one, unless that has been done. */
  replace(connection: NativeConnection): void {
    if (this.closed || this.connected?.connection !== connection) return;
    this.replaced.push(connection);
    this.connected = undefined;
    this.connecting = this.connect();
  }

  /**
   * Asks something of Temporal, and waits no longer than `withinMs`. The time is kept here, because the native client
   * goes on trying for about nine seconds whatever deadline it is given. While Temporal is known to be away the answer
   * is no at once.
   *
   * @throws TemporalUnavailableError when it is away or late; whatever else Temporal says is thrown as it comes
   */
  call<Result>(withinMs: number, ask: (client: Client) => Promise<Result>): Promise<Result> {
    return this.askUnlessAway(withinMs, ask, isTemporalUnavailable);
  }

  /**
   * {@link call} for a query or an update, which a worker answers: one that is late has an attempt in hand, or is away
   * itself, and says nothing of Temporal.
   */
  callWorker<Result>(withinMs: number, ask: (client: Client) => Promise<Result>): Promise<Result> {
    return this.askUnlessAway(withinMs, ask, (error) => isTemporalUnavailable(error) && !isLate(error));
  }

  /** Asks the namespace whether it is there. */
  async ping(): Promise<void> {
    const { namespace } = this;
    await this.ask(
      PING_WITHIN_MS,
      (client) => client.workflowService.describeNamespace({ namespace }),
      isTemporalUnavailable,
    ).catch((error: unknown) => {
      this.awayUntilMs = steadyMs() + AWAY_MS;
      throw error;
    });
    this.awayUntilMs = 0;
  }

  /** To be called once nothing uses the connection any more. */
  async close(): Promise<void> {
    this.closed = true;
    for (const wake of this.waiting.splice(0)) wake();
    await this.connecting;
    await this.registering;
    for (const connection of this.replaced) await connection.close();
    await this.connected?.connection.close();
  }

  private async askUnlessAway<Result>(
    withinMs: number,
    ask: (client: Client) => Promise<Result>,
    saysAway: (error: unknown) => boolean,
  ): Promise<Result> {
    if (steadyMs() < this.awayUntilMs)
      throw new TemporalNotAskedError('Temporal did not answer a moment ago');
    return this.ask(withinMs, ask, saysAway);
  }

  private async ask<Result>(
    withinMs: number,
    ask: (client: Client) => Promise<Result>,
    saysAway: (error: unknown) => boolean,
  ): Promise<Result> {
    if (!this.connected) throw new TemporalNotAskedError('not connected to Temporal yet');
    const { client } = this.connected;
    const answer = client
      .withDeadline(Date.now() + withinMs, () => ask(client))
      .catch((error: unknown) => {
        if (!lacksAttributes(error)) throw error;
        this.registerAgain(client);
        throw new TemporalUnavailableError('Temporal has lost the search attributes', { cause: error });
      });
    answer.catch((error: unknown) => {
      if (saysAway(error)) this.awayUntilMs = steadyMs() + AWAY_MS;
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(
        () => reject(new TemporalUnavailableError(`no answer within ${withinMs} ms`)),
        withinMs,
      );
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  private async connect(): Promise<void> {
    const { TEMPORAL_API_KEY: apiKey, TEMPORAL_TLS: tls } = this.settings;
    let complained = false;
    while (!this.closed) {
      try {
        const connection = await NativeConnection.connect({
          address: this.address,
          ...(tls || apiKey !== undefined ? { tls: true } : {}),
          ...(apiKey === undefined ? {} : { apiKey }),
          // Within one machine, compressing costs more than it saves.
          ...(isLoopback(this.address) ? { grpcCompression: { codec: 'none' as const } } : {}),
        });
        const client = new Client({ connection, namespace: this.namespace });
        await this.registerSearchAttributes(client);
        this.connected = { connection, client };
        for (const wake of this.waiting.splice(0)) wake();
        return;
      } catch (error) {
        if (!complained) this.logger.warn({ err: error, address: this.address }, 'waiting for Temporal');
        complained = true;
        await new Promise((resolve) => setTimeout(resolve, CONNECT_EVERY_MS));
      }
    }
  }

  /** Its database was made anew, while the connection has mended itself. */
  private registerAgain(client: Client): void {
    this.registering ??= this.registerSearchAttributes(client)
      .catch((error: unknown) => this.logger.warn({ err: error }, 'search attributes are not registered yet'))
      .finally(() => (this.registering = undefined));
  }

  private async registerSearchAttributes(client: Client): Promise<void> {
    const { namespace } = this;
    const known = await client.connection.operatorService.listSearchAttributes({ namespace });
    const missing = SEARCH_ATTRIBUTES.filter(({ name }) => !(name in known.customAttributes));
    if (missing.length > 0) {
      await client.connection.operatorService.addSearchAttributes({
        namespace,
        searchAttributes: Object.fromEntries(missing.map(({ name }) => [name, INDEXED_KEYWORD])),
      });
    }
    await this.attributesAreKnown(client);
  }

  /** A server goes on refusing starts for some seconds after attributes were registered, here or by another process. */
  private async attributesAreKnown(client: Client): Promise<void> {
    const query = SEARCH_ATTRIBUTES.map(({ name }) => `${name} = ''`).join(' AND ');
    const untilMs = steadyMs() + ATTRIBUTES_KNOWN_WITHIN_MS;
    while (!this.closed && steadyMs() < untilMs) {
      try {
        await client.workflow.count(query);
        return;
      } catch (error) {
        // Whoever may not count may still start.
        if (!hasStatus(error, INVALID_ARGUMENT)) return;
      }
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    }
  }
}

/** What is looked at of an error, by whoever threw it: the SDK, or gRPC behind it. */
interface Said {
  code?: unknown;
  name?: unknown;
  message?: unknown;
  details?: unknown;
  cause?: unknown;
}

/** What the client throws wraps what gRPC said: the outermost first. */
function* saidIn(error: unknown): Generator<Said> {
  for (let said = error; typeof said === 'object' && said !== null; said = (said as Said).cause) yield said;
}

const hasStatus = (error: unknown, code: number): boolean =>
  [...saidIn(error)].some((said) => said.code === code);

/** What Temporal says of a start, where its namespace has none of our search attributes. */
const lacksAttributes = (error: unknown): boolean =>
  [...saidIn(error)].some(
    ({ code, message, details }) =>
      code === INVALID_ARGUMENT && /search attribute/i.test(`${String(message)} ${String(details)}`),
  );

const isLate = (error: unknown): boolean => LATE.some((code) => hasStatus(error, code));

const isLoopback = (address: string): boolean => /^(127\.|localhost:|\[::1\])/.test(address);

/**
 * Whether Temporal would say the same of any other request: it is unavailable, has lost our namespace or does not let us in. All
 * that is left says that this one request is wrong.
 */
export function refusesAll(error: unknown): boolean {
  if (isTemporalUnavailable(error) || error instanceof NamespaceNotFoundError) return true;
  const status = [...saidIn(error)].find(({ code }) => typeof code === 'number')?.code;
  return status !== undefined && status !== INVALID_ARGUMENT;
}

/** Tells "Temporal cannot answer at the moment" from an answer that says no. */
export function isTemporalUnavailable(error: unknown): boolean {
  for (const said of saidIn(error)) {
    const { code, name, message } = said;
    if (said instanceof TemporalUnavailableError || name === 'WorkflowUpdateRPCTimeoutOrCancelledError')
      return true;
    // The outermost status is the answer.
    if (typeof code === 'number')
      return NOT_NOW.includes(code) || (code === UNKNOWN && message === 'transport error');
  }
  return false;
}
