import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** What the line does to bytes at the moment. */
interface Condition {
  /** Passes nothing on, and loses nothing: it all goes on once the line is mended. */
  stalled: boolean;
  /** Each byte arrives this much later. */
  latencyMs: number;
}

/** Stands between a system and a server, so that a test can cut the line, slow it down, stall it, and mend it. */
export class TcpProxy {
  private readonly sockets = new Set<Socket>();
  private readonly relays = new Set<Relay>();
  private readonly condition: Condition = { stalled: false, latencyMs: 0 };
  private broken = false;
  private readonly server = createServer((client) => {
    if (this.broken) {
      client.destroy();
      return;
    }
    const upstream = connect(this.port, this.host);
    const relays = [new Relay(client, upstream, this.condition), new Relay(upstream, client, this.condition)];
    for (const relay of relays) this.relays.add(relay);
    for (const socket of [client, upstream]) {
      this.sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.sockets.delete(socket);
        for (const relay of relays) this.relays.delete(relay);
        client.destroy();
        upstream.destroy();
      });
    }
  });

  private constructor(
    private readonly host: string,
    private readonly port: number,
  ) {}

  static async start(host: string, port: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(host, port);
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    return proxy;
  }

  /** host:port to connect to. */
  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Ends every connection and refuses new ones until {@link mend}. */
  cut(): void {
    this.broken = true;
    for (const socket of this.sockets) socket.destroy();
  }

  /** Connections stay open and new ones are taken, and nothing passes until {@link mend}. */
  stall(): void {
    this.condition.stalled = true;
  }

  /** Connections that are open now stay open and are dead for good, as behind a firewall that forgot them; new ones work. */
  abandon(): void {
    for (const relay of this.relays) relay.abandon();
  }

  /** Lets every byte wait this long on its way, each way, until {@link mend}. */
  slow(latencyMs: number): void {
    this.condition.latencyMs = latencyMs;
  }

  mend(): void {
    this.broken = false;
    this.condition.stalled = false;
    this.condition.latencyMs = 0;
    for (const relay of this.relays) relay.pass();
  }

  async stop(): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }
}

/** One way of a connection. */
class Relay {
  private readonly waiting: { chunk: Buffer; dueMs: number }[] = [];
  private abandoned = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    from: Socket,
    private readonly to: Socket,
    private readonly condition: Condition,
  ) {
    from.on('data', (chunk: Buffer) => {
      const { latencyMs } = condition;
      this.waiting.push({ chunk, dueMs: Date.now() + latencyMs });
      this.pass();
    });
    from.on('end', () => to.end());
  }

  abandon(): void {
    this.abandoned = true;
  }

  /** Hands over what is due, in its order, and the rest in its time. */
  pass(): void {
    clearTimeout(this.timer);
    const { stalled, latencyMs } = this.condition;
    if (stalled || this.abandoned) return;
    for (let next = this.waiting[0]; next; next = this.waiting[0]) {
      const leftMs = latencyMs === 0 ? 0 : next.dueMs - Date.now();
      if (leftMs > 0) {
        this.timer = setTimeout(() => this.pass(), leftMs);
        return;
      }
      this.waiting.shift();
      if (this.to.writable) this.to.write(next.chunk);
    }
  }
}
