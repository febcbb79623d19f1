import { TRANSPORT_CODES } from './codes.js';
import type { TransportCode } from './codes.js';
import type { Destination } from './connector.js';
import { CROWD } from './crowd.js';
import type { EgressNetworks } from './egress-networks.js';
import type { EgressProxy } from './egress-proxy.js';
import { exchange } from './exchange.js';
import type { Exchanged } from './exchange.js';
import { TransportFault } from './failures.js';
import { Origins } from './origins.js';
import { ProxyLine } from './proxy-line.js';
import { resolveName, systemLookup } from './resolve.js';
import type { Lookup } from './resolve.js';
import { SecureContexts } from './secure-contexts.js';
import type { OutgoingRequest, TransportFailure, TransportResult } from './types.js';
import { checkUrl } from './url-rules.js';
import type { CheckedUrl } from './url-rules.js';
import { within } from './within.js';

export interface TransportOptions {
  /** Networks that may be reached although they are not public. */
  allow: EgressNetworks;
  /** Milliseconds for TCP and TLS together; 5,000 unless told. */
  connectTimeoutMs?: number;
  /** Asked anew for each attempt; DNS unless told. */
  lookup?: Lookup;
  /** PEM of certificate authorities to trust instead of those that Node brings along. */
  ca?: string;
  /** Every request goes through it; none unless told. */
  proxy?: EgressProxy;
  /** Requests without an answer that one address and port may have before more are a crowd; 256 unless told. */
  crowd?: number;
  /** Whether it is sent names as they are, to resolve and check itself; not unless told. */
  proxyResolves?: boolean;
}

const CONNECT_TIMEOUT_MS = 5000;

/**
 * The one way out: every request to a customer's URL goes through here, whatever it is for. An address is checked as it
 * stands in the URL, in each answer of DNS, and on the connected socket; redirects are answers like any other and are
 * not followed, since where they lead was checked by nobody.
 */
export class Transport {
  readonly #allow: EgressNetworks;
  readonly #lookup: Lookup;
  readonly #origins: Origins;
  readonly #contexts: SecureContexts;
  readonly #proxyResolves: boolean;
  #closed = false;

  constructor(options: TransportOptions) {
    const { allow, connectTimeoutMs = CONNECT_TIMEOUT_MS, lookup, ca, crowd = CROWD } = options;
    const { proxy, proxyResolves = false } = options;
    this.#contexts = new SecureContexts(ca);
    const { shared: tls } = this.#contexts;
    this.#allow = allow;
    this.#lookup = lookup ?? systemLookup(allow);
    this.#proxyResolves = proxy !== undefined && proxyResolves;
    this.#origins = new Origins(
      { allow, connectTimeoutMs, tls, crowd },
      proxy ? new ProxyLine(proxy, tls) : null,
    );
  }

  /**
   * Sends one request and reads what comes back, within `request.timeoutMs`.
   *
   * @throws TransportFault for what is no fault of the receiver: closed, out of sockets, a request that cannot be made
   * (a header that HTTP does not allow), an egress proxy that does not do its part. It must not count as an attempt.
   */
  async send(request: OutgoingRequest): Promise<TransportResult> {
    const startedAt = performance.now();
    const result = await this.#attempt(request, startedAt + request.timeoutMs);
    const durationMs = Math.round(performance.now() - startedAt);
    return result.ok
      ? { durationMs, ok: true, response: result.response }
      : { durationMs, ok: false, failure: failureOf(result) };
  }

  /** Takes no more requests, waits for those under way, then closes every connection. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#origins.close();
  }

  /** Closes every connection at once; `send` throws for requests under way. */
  async destroy(): Promise<void> {
    this.#closed = true;
    await this.#origins.destroy();
  }

  /** @param deadline on the clock of `performance.now()` */
  async #attempt(request: OutgoingRequest, deadline: number): Promise<Exchanged | Unsent> {
    assertSendable(request);
    const checked = checkUrl(request.url, this.#allow);
    if (!checked.ok) return checked;
    const destination =
      checked.address === null
        ? await this.#destinationOf(checked, deadline)
        : literal(checked, checked.address);
    if ('code' in destination) return destination;
    if (request.tls !== undefined) {
      const context = this.#contexts.of(request.tls);
      if (context === null) return UNUSABLE;
      destination.credentials = { key: request.tls.key, context };
    }
    // A pool opened after close() would be closed by nobody.
    if (this.#closed) throw new TransportFault('The transport is closed.');

    const now = performance.now();
    const result = await exchange(this.#origins.of(destination, now), checked.url, request, deadline - now);
    if (result.ok || !result.stale) return result;
    // Receivers close idle connections whenever they like, and may do so just as a request sets out on one. That says
    // nothing of the receiver, so it costs no attempt: once more, on a new connection. Should the first one have been
    // read after all, the receiver sees the same `webhook-id` twice, as at-least-once delivery allows.
    const left = deadline - performance.now();
    return left > 0 ? this.#onNewConnection(destination, checked.url, request, left) : result;
  }

  async #onNewConnection(
    destination: Destination,
    url: URL,
    request: OutgoingRequest,
    timeoutMs: number,
  ): Promise<Exchanged> {
    const origin = this.#origins.alone(destination);
    try {
      return await exchange(origin, url, request, timeoutMs);
    } finally {
      this.#origins.leave(origin);
    }
  }

  async #destinationOf(checked: CheckedUrl, deadline: number): Promise<Destination | Unsent> {
    const { url, onlyAllowedNetworks } = checked;
    // What may lead into opened networks alone is never left to the proxy: it does not know which those are.
    if (this.#proxyResolves && !onlyAllowedNetworks) {
      return { origin: url.origin, addresses: [], onlyAllowedNetworks };
    }
    const timeoutMs = deadline - performance.now();
    const resolution = await within(
      timeoutMs,
      resolveName(url.hostname, onlyAllowedNetworks, this.#allow, this.#lookup),
    );
    if (resolution === 'late') {
      return {
        ok: false,
        code: 'dns_failed',
        detail: `The name servers did not answer within ${Math.round(timeoutMs)} ms.`,
      };
    }
    if (!resolution.ok) return resolution;
    return { origin: url.origin, addresses: resolution.addresses, onlyAllowedNetworks };
  }
}

/** What failed before there was a connection to send on. */
interface Unsent {
  ok: false;
  code: TransportCode;
  detail: string;
}

const UNUSABLE: Unsent = {
  ok: false,
  code: 'tls_credentials_unusable',
  detail: TRANSPORT_CODES.tls_credentials_unusable.cause,
};

function literal({ url, onlyAllowedNetworks }: CheckedUrl, address: string): Destination {
  return { origin: url.origin, addresses: [address], onlyAllowedNetworks };
}

function failureOf(result: Exclude<Exchanged, { ok: true }> | Unsent): TransportFailure {
  if (!('fault' in result)) {
    const { code, detail } = result;
    return { code, detail, kind: TRANSPORT_CODES[code].kind };
  }
  const { code, detail } = result.fault;
  const { response, comeBackMs } = result;
  return {
    code,
    detail,
    kind: TRANSPORT_CODES[code].kind,
    ...(response === undefined ? {} : { response }),
    ...(comeBackMs === undefined ? {} : { comeBackMs }),
  };
}

function assertSendable({ timeoutMs, headers }: OutgoingRequest): void {
  if (!(timeoutMs > 0)) throw new TransportFault('timeoutMs is a positive number of milliseconds.');
  // Another Host than the URL's would reach another site behind the same address; the length is undici's to count.
  if ('host' in headers || 'connection' in headers || 'content-length' in headers) {
    throw new TransportFault('The headers host, connection and content-length are set by the transport.');
  }
}
