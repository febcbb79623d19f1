import type { Destination } from './connector.js';

/** Least wait, in milliseconds, of a request that a crowd of ours kept out, and how far apart such requests come back. */
const BACK_AFTER = { leastMs: 1000, apartMs: 5, mostMs: 60_000 };

/** Requests without an answer that a host may have from one process before more of them count as a crowd. */
export const CROWD = 256;

/**
 * What this process has under way at one address and port. Many endpoints may share it, and each of them may be given a
 * connection: then it can be our own number that overflows the queue in which the receiver's system keeps connections until
 * they are accepted (511 on many, 128 or fewer on some). What finds it full is dropped without a word, as by a dead host.
 */
export class Host {
  /** Requests without a byte of an answer, those that have no connection yet included. */
  #unanswered = 0;
  /** Of these, those whose connection stands. On Linux that does not mean that the receiver has accepted it. */
  #standing = 0;
  #crowdedAt = -Infinity;
  #aliveAt = -Infinity;
  #backAt = -Infinity;
  /** Pools that lead here. */
  pools = 0;

  constructor(
    readonly key: string,
    private readonly most: number,
  ) {}

  begin(now: number): void {
    this.#unanswered += 1;
    if (this.#unanswered > this.most) this.#crowdedAt = now;
  }

  /** It is answered, or given up. */
  end(): void {
    this.#unanswered -= 1;
  }

  stand(now: number): void {
    this.#standing += 1;
    this.#aliveAt = now;
  }

  /** It has answered one of ours. */
  answer(now: number): void {
    this.#aliveAt = now;
  }

  leave(): void {
    this.#standing -= 1;
  }

  /**
   * Whether a connection that did not come about may have failed for our own number alone: there were too many of us, and
   * the host is one that takes connections: one of ours stands there, or has come about or was answered since. A host that
   * does none of this is dead, however many wait for it.
   *
   * @param since when it was first waited for
   */
  isCrowded(since: number): boolean {
    const crowded = this.#unanswered > this.most || this.#crowdedAt >= since;
    return crowded && (this.#standing > 0 || this.#aliveAt >= since);
  }

  /** Milliseconds after which one that was kept out comes back: one after the other, so that they are no crowd again. */
  comeBackIn(now: number): number {
    const { leastMs, apartMs, mostMs } = BACK_AFTER;
    this.#backAt = Math.min(Math.max(now + leastMs, this.#backAt + apartMs), now + mostMs);
    // Fractions of fractions: the difference may be a hair less than what was added.
    return Math.round(this.#backAt - now);
  }
}

/** Every host that a pool leads to. */
export class Hosts {
  readonly #hosts = new Map<string, Host>();

  constructor(private readonly most: number) {}

  get size(): number {
    return this.#hosts.size;
  }

  /** Those that a destination may lead to, for a new pool; given back by {@link release}. */
  of(destination: Destination): Host[] {
    return keysOf(destination).map((key) => {
      let host = this.#hosts.get(key);
      if (host === undefined) {
        host = new Host(key, this.most);
        this.#hosts.set(key, host);
      }
      host.pools += 1;
      return host;
    });
  }

  release(hosts: readonly Host[]): void {
    for (const host of hosts) {
      host.pools -= 1;
      if (host.pools === 0) this.#hosts.delete(host.key);
    }
  }
}

/** By address and port: many names may lead to one machine. By name where the egress proxy is to resolve it. */
function keysOf({ origin, addresses }: Destination): string[] {
  const { protocol, port, hostname } = new URL(origin);
  const behind = port === '' ? protocol : port;
  return (addresses.length > 0 ? addresses : [hostname]).map((address) => `${address} ${behind}`);
}
