import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { ended, started } from './left-over.js';

/** What a proxy does with one CONNECT. */
export type Tunnelling = (request: IncomingMessage, client: Socket) => void;

/** An HTTP proxy that knows CONNECT alone, and says so to whatever else it is asked, on a real socket of the loopback. */
export class ConnectProxy {
  /** `host:port` of each CONNECT, in order. */
  readonly asked: string[] = [];
  /** `Proxy-Authorization` of each CONNECT. */
  readonly credentials: (string | undefined)[] = [];
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: ReturnType<typeof createServer>,
    private readonly scheme: string,
    private tunnelling: Tunnelling,
  ) {
    server.on('connect', (request: IncomingMessage, client: Socket) => {
      this.asked.push(request.url ?? '');
      this.credentials.push(request.headers['proxy-authorization']);
      client.on('error', () => undefined);
      this.tunnelling(request, client);
    });
    server.on('request', (_request, response) => response.writeHead(405).end());
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.on('error', () => undefined).once('close', () => this.sockets.delete(socket));
    });
  }

  /** @param tls key and certificate of a proxy that is spoken to over TLS */
  static async start(tunnelling: Tunnelling = relay, tls?: ServerOptions): Promise<ConnectProxy> {
    const server = tls === undefined ? createServer() : createTlsServer(tls);
    const proxy = new ConnectProxy(server, tls === undefined ? 'http' : 'https', tunnelling);
    server.listen(0, '127.0.0.1', 4096);
    await once(server, 'listening');
    started(proxy, () => proxy.stop());
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.scheme}://127.0.0.1:${this.port}`;
  }

  /** Connections to it that are open. */
  get open(): number {
    return this.sockets.size;
  }

  /** From now on. */
  does(tunnelling: Tunnelling): void {
    this.tunnelling = tunnelling;
  }

  async stop(): Promise<void> {
    ended(this);
    if (!this.server.listening) return;
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await once(this.server, 'close');
  }
}

/** Leads to whatever is asked for; 502 where nothing listens. */
export const relay: Tunnelling = (request, client) => {
  const { hostname, port } = new URL(`http://${request.url ?? ''}`);
  const upstream = connect(Number(port === '' ? 80 : port), hostname.replace(/^\[(.*)\]$/, '$1'));
  upstream.once('connect', () => {
    client.write('HTTP/1.1 200 Connection established\r\n\r\n');
    client.pipe(upstream).pipe(client);
  });
  upstream.on('error', () => client.end('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n'));
  client.once('close', () => upstream.destroy());
  upstream.once('close', () => client.destroy());
};

/** Answers every CONNECT with this head, without an empty line, and ends the connection. */
export const answering =
  (head: string): Tunnelling =>
  (_request, client) => {
    client.end(`${head}\r\n\r\n`);
  };
