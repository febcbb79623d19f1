import { lookup as getaddrinfo } from 'node:dns';
import { connect as connectTcp, isIP } from 'node:net';
import type { LookupFunction, Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { SecureContext } from 'node:tls';
import { plain } from './connector.js';
import { authority } from './egress-proxy.js';
import type { EgressProxy } from './egress-proxy.js';
import { TransportFault } from './failures.js';

/**
 * How long CONNECT may go without an answer, in milliseconds, before the proxy is asked whether it is there at all: soon
 * enough that the shortest deadline of an endpoint leaves time for its answer.
 */
const ASK_AFTER_MS = 400;
/** How long such a question is kept open. */
const ASKED_FOR_MS = 5000;

/**
 * The way to the egress proxy. It is the operator's own, so none of the rules for customers' addresses hold for it, and
 * whatever goes wrong on it is no fault of a receiver.
 */
export class ProxyLine {
  #heardAt = -Infinity;
  #asking = false;

  constructor(
    private readonly proxy: EgressProxy,
    private readonly tls: SecureContext,
  ) {}

  /** Bytes that ask for a tunnel (RFC 9110 §9.3.6). They hold the credentials. @param target `host:port` */
  request(target: string): string {
    const { authorization } = this.proxy;
    const credentials = authorization === null ? '' : `Proxy-Authorization: ${authorization}\r\n`;
    return `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${credentials}\r\n`;
  }

  /**
   * Opens a connection to the proxy and to nothing else: where it leads is compared with what the configured host means.
   *
   * @param ready told once, when bytes may be written, or with the TransportFault
   * @returns the socket, for the caller to destroy whenever it has waited long enough
   */
  connect(ready: (error: Error | null) => void): Socket {
    const { host, port, tls } = this.proxy;
    const addresses = new Set([plain(host)]);
    const lookup: LookupFunction = (name, options, callback) => {
      getaddrinfo(name, { ...options, all: true }, (error, found) => {
        if (error === null) for (const { address } of found) addresses.add(plain(address));
        callback(error, found);
      });
    };
    const target = { host, port, lookup, autoSelectFamily: true, noDelay: true, keepAlive: true };
    const socket: Socket = tls
      ? connectTls({
          ...target,
          secureContext: this.tls,
          rejectUnauthorized: true,
          ALPNProtocols: ['http/1.1'],
          ...(isIP(host) === 0 ? { servername: host } : {}),
        })
      : connectTcp(target);
    let told = false;
    const tell = (error: Error | null) => {
      if (told) return;
      told = true;
      if (error !== null) socket.destroy();
      ready(error);
    };
    socket
      // Before TLS has a chance to greet anybody else.
      .prependOnceListener('connect', () => {
        const remote = plain(socket.remoteAddress ?? '');
        if (remote === undefined || !addresses.has(remote)) {
          tell(new TransportFault('The connection to the egress proxy led somewhere else.'));
        }
      })
      .once(tls ? 'secureConnect' : 'connect', () => tell(null))
      .on('error', (error) => tell(unreachable(error)))
      .once('close', () => tell(unreachable()));
    return socket;
  }

  /** The proxy has answered something. */
  heard(): void {
    this.#heardAt = performance.now();
  }

  /** Whether nothing was heard of the proxy since then, on the clock of `performance.now()`. */
  isSilentSince(moment: number): boolean {
    return this.#heardAt < moment;
  }

  /**
   * CONNECT is out. A proxy that says nothing to it may be waiting for a dead receiver or may be dead itself: after a while
   * it is asked for something that it must answer alone (RFC 9110 §7.6.2), and whatever it answers shows that it lives.
   *
   * @returns to be called when CONNECT is answered or given up
   */
  asked(): () => void {
    const timer = setTimeout(() => {
      if (!this.#asking && this.isSilentSince(performance.now() - ASK_AFTER_MS)) this.#ask();
    }, ASK_AFTER_MS);
    return () => clearTimeout(timer);
  }

  #ask(): void {
    this.#asking = true;
    const socket = this.connect((error) => {
      if (error !== null) return;
      socket.write(
        `OPTIONS * HTTP/1.1\r\nHost: ${authority(this.proxy.host, this.proxy.port)}\r\nMax-Forwards: 0\r\nConnection: close\r\n\r\n`,
      );
      const answered = () => {
        this.heard();
        socket.destroy();
      };
      socket.once('data', answered).once('end', answered);
    });
    const timer = setTimeout(() => socket.destroy(), ASKED_FOR_MS);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#asking = false;
    });
  }
}

/** @param cause names the address that was tried, never the credentials */
export function unreachable(cause?: Error): TransportFault {
  return new TransportFault('The egress proxy cannot be reached.', { cause });
}

/** It took a connection, and has said nothing since to anybody. */
export function silent(): TransportFault {
  return new TransportFault('The egress proxy does not answer.');
}
