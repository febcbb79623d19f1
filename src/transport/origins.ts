import { Client, Pool } from 'undici';
import type { Dispatcher } from 'undici';
import { pinnedConnector } from './connector.js';
import type { ConnectorOptions, Destination, Progress } from './connector.js';
import type { ProxyLine } from './proxy-line.js';
import { Hosts, type Host } from './crowd.js';
import { tunnelConnector } from './tunnel.js';

/** Header fields of a response, in bytes. */
const MAX_HEADER_BYTES = 16 * 1024;

/** Pools kept beyond those in use. Idle ones hold no sockets (those close after seconds), only memory. */
const MAX_ORIGINS = 1024;

/** A pool that nothing was sent through for so long, in milliseconds, is given up. */
const IDLE_MS = 60_000;

const CLIENT_OPTIONS = {
  pipelining: 1,
  allowH2: false,
  maxHeaderSize: MAX_HEADER_BYTES,
  keepAliveMaxTimeout: IDLE_MS,
  // Off: undici's are idle times in steps of half a second. The deadline of a request is ours and covers everything.
  headersTimeout: 0,
  bodyTimeout: 0,
} as const satisfies Client.Options;

/** The connections to one destination. */
export interface Origin extends Progress {
  readonly dispatcher: Dispatcher;
  /** Requests between dispatch and settlement. */
  active: number;
  /** Of these, requests that have not been given a connection. */
  waiting: number;
  readonly hosts: readonly Host[];
  /** True while undici is handed a connection that no request has used: what it starts then, it starts on that one. */
  handingOverFresh: boolean;
  usedAt: number;
  /**
   * Whether a connection that did not come about in time may have waited for our own proxy alone.
   *
   * @param since when it was first waited for, on the clock of `performance.now()`
   */
  readonly isProxyToBlame: (since: number) => boolean;
}

/**
 * One pool for each destination, with as many connections as requests are under way: customers share hosts, and a slow
 * endpoint of one would take them from the others. Each endpoint's pace says how many it may have. A destination is an origin **and** its checked addresses: when DNS answers otherwise, a new
 * pool begins, so that no kept connection outlives the answer it was checked by. And it is what the connection is made
 * with: nobody sends through a connection that another's certificate opened, or another's authority vouched for.
 */
export class Origins {
  /** In order of use, the longest unused first. */
  readonly #pools = new Map<string, Origin>();
  readonly #alone = new Set<Origin>();
  readonly #options: ConnectorOptions;
  readonly #hosts: Hosts;

  /** @param line to the egress proxy that every connection goes through; null without one */
  constructor(
    options: ConnectorOptions & { crowd: number },
    private readonly line: ProxyLine | null = null,
  ) {
    this.#options = options;
    this.#hosts = new Hosts(options.crowd);
  }

  get size(): number {
    return this.#pools.size;
  }

  /** The pool of a destination. @param now milliseconds of a clock that only goes forward. */
  of(destination: Destination, now: number): Origin {
    const { origin, addresses, credentials } = destination;
    const place =
      addresses.length < 2 ? `${origin} ${addresses.join()}` : `${origin} ${addresses.toSorted().join()}`;
    const key = credentials === undefined ? place : `${place} ${credentials.key}`;
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      this.#evict(now);
      pool = this.#open(destination, (connect) => {
        return new Pool(origin, { ...CLIENT_OPTIONS, connect });
      });
      this.#pools.set(key, pool);
      pool.usedAt = now;
    } else if (now - pool.usedAt > 1000) {
      // Moved to the end at most once a second: that is exact enough for IDLE_MS, and this is on the hot path.
      this.#pools.delete(key);
      this.#pools.set(key, pool);
      pool.usedAt = now;
    }
    return pool;
  }

  /** A connection of its own for one request; give it back with {@link leave}. */
  alone(destination: Destination): Origin {
    const origin = this.#open(destination, (connect) => {
      return new Client(destination.origin, { ...CLIENT_OPTIONS, connect });
    });
    this.#alone.add(origin);
    return origin;
  }

  leave(origin: Origin): void {
    this.#alone.delete(origin);
    this.#hosts.release(origin.hosts);
    void origin.dispatcher.destroy();
  }

  /** Waits for what is under way, then closes every connection. */
  async close(): Promise<void> {
    await this.#all((dispatcher) => dispatcher.close());
  }

  /** Closes every connection at once. */
  async destroy(): Promise<void> {
    await this.#all((dispatcher) => dispatcher.destroy());
  }

  #open(
    destination: Destination,
    create: (connect: ReturnType<typeof pinnedConnector>) => Dispatcher,
  ): Origin {
    const hosts = this.#hosts.of(destination);
    const origin: Origin = {
      hosts,
      dispatcher: create((options, callback) => {
        // undici asks for one more after a request that was given up, though it has none to send on it.
        if (origin.waiting === 0) {
          callback(new Error('no request waits for a connection'), null);
          return;
        }
        connect(options, (...result) => {
          origin.handingOverFresh = true;
          callback(...result);
          origin.handingOverFresh = false;
        });
      }),
      active: 0,
      waiting: 0,
      atProxy: 0,
      stand: () => {
        const now = performance.now();
        for (const host of hosts) host.stand(now);
      },
      leave: () => {
        for (const host of hosts) host.leave();
      },
      handingOverFresh: false,
      usedAt: 0,
      isProxyToBlame: (since) => this.line !== null && (origin.atProxy > 0 || this.line.isSilentSince(since)),
    };
    const connect =
      this.line === null
        ? pinnedConnector(destination, this.#options, origin)
        : tunnelConnector(destination, this.#options, this.line, origin);
    return origin;
  }

  #evict(now: number): void {
    for (const [key, { active, usedAt, dispatcher, hosts }] of this.#pools) {
      if (now - usedAt < IDLE_MS && this.#pools.size < MAX_ORIGINS) return;
      if (active > 0) continue;
      this.#pools.delete(key);
      this.#hosts.release(hosts);
      void dispatcher.close();
    }
  }

  async #all(end: (dispatcher: Dispatcher) => Promise<void>): Promise<void> {
    const origins = [...this.#pools.values(), ...this.#alone];
    this.#pools.clear();
    this.#alone.clear();
    await Promise.all(origins.map(({ dispatcher }) => end(dispatcher)));
  }
}
