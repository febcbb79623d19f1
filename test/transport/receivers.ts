import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import type { RequestListener } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach } from '@jest/globals';
import type { Progress } from '../../src/transport/connector.js';
import { parseEgressNetworks } from '../../src/transport/egress-networks.js';
import { Transport } from '../../src/transport/transport.js';
import type { TransportOptions } from '../../src/transport/transport.js';
import type { OutgoingRequest, TransportFailure, TransportResult } from '../../src/transport/types.js';

export const LOOPBACK = parseEgressNetworks('127.0.0.0/8,::1/128');

/** Of a connection whose coming about nobody follows. */
export const UNWATCHED: Progress = { atProxy: 0, stand: () => undefined, leave: () => undefined };

/** A receiver on a free port of 127.0.0.1. */
export interface Receiver {
  url: string;
  port: number;
  server: Server;
  /** Every connection that was ever accepted. */
  connections: Socket[];
  stop: () => Promise<void>;
}

/** Receivers and transports of one test file; all of them are closed after each test. */
export function receivers() {
  const ends: (() => Promise<void>)[] = [];
  afterEach(async () => {
    await Promise.all(ends.splice(0).map((end) => end()));
  });

  const listen = async (server: Server, scheme = 'http'): Promise<Receiver> => {
    const connections: Socket[] = [];
    server.on('connection', (socket: Socket) => {
      connections.push(socket);
      // Connections end in whatever way these tests are about.
      socket.on('error', () => undefined);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const stop = async () => {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      for (const connection of connections) connection.destroy();
      await closed;
    };
    ends.push(stop);
    return { url: `${scheme}://127.0.0.1:${port}/hook`, port, server, connections, stop };
  };

  return {
    listen,
    /** Answers as `respond` does once a request's head has arrived. */
    tcp: (respond: (socket: Socket, head: string) => void) =>
      listen(
        createTcpServer((socket) => {
          let text = '';
          socket.on('data', (chunk) => {
            text += chunk.toString('latin1');
            if (!text.includes('\r\n\r\n')) return;
            const head = text;
            text = '';
            respond(socket, head);
          });
        }),
      ),
    http: (listener: RequestListener) => listen(createHttpServer(listener)),
    transport: (options: Partial<TransportOptions> = {}) => {
      const transport = new Transport({ allow: LOOPBACK, ...options });
      ends.push(() => transport.destroy());
      return transport;
    },
  };
}

export function post(url: string, more: Partial<OutgoingRequest> = {}): OutgoingRequest {
  return {
    method: 'POST',
    url,
    headers: { 'content-type': 'application/json', 'webhook-id': 'evt_1' },
    body: '{"type":"invoice.paid"}',
    timeoutMs: 10_000,
    ...more,
  };
}

/**
 * undici takes a connection back in the turn of the event loop after its answer. Whoever sends at once, before that, gets
 * another connection.
 */
export async function connectionIsBack(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export function failureOf(result: TransportResult): TransportFailure {
  if (result.ok)
    throw new Error(`delivered with ${result.response.statusCode}, where a failure was expected`);
  return result.failure;
}

export function responseOf(result: TransportResult) {
  if (!result.ok) throw new Error(`${result.failure.code}: ${result.failure.detail}`);
  return result.response;
}
