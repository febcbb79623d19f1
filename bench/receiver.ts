import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { nowMs } from './clock.js';

const STALLED_AFTER_MS = 60_000;

/** Where everything is delivered to: answers 200 and notes when each `webhook-id` first arrived. */
export class Receiver {
  private arrivedAt = new Map<string, number>();
  private wanted: { count: number; resolve: () => void } | undefined;

  private constructor(private readonly server: Server) {}

  static async open(): Promise<Receiver> {
    const server = createServer({ keepAliveTimeout: 60_000 });
    const receiver = new Receiver(server);
    server.on('request', (request, response) => {
      const id = String(request.headers['webhook-id']);
      request.resume().on('end', () => {
        receiver.note(id);
        response.end('ok');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`;
  }

  /**
   * Runs `work` and waits until `count` deliveries have arrived since it began.
   *
   * @returns when each arrived, by `webhook-id`
   */
  async collect<T>(
    count: number,
    work: () => Promise<T>,
  ): Promise<{ arrivedAt: Map<string, number>; result: T }> {
    this.arrivedAt = new Map();
    const all = new Promise<void>((resolve) => {
      this.wanted = { count, resolve };
    });
    const result = await work();
    let timer: NodeJS.Timeout | undefined;
    let seen = -1;
    const stalled = new Promise<never>((_, reject) => {
      timer = setInterval(() => {
        if (seen === this.arrivedAt.size)
          reject(
            new Error(`${seen} of ${count} deliveries arrived, and none for ${STALLED_AFTER_MS / 1000} s`),
          );
        seen = this.arrivedAt.size;
      }, STALLED_AFTER_MS);
    });
    try {
      await Promise.race([all, stalled]);
    } finally {
      clearInterval(timer);
    }
    return { arrivedAt: this.arrivedAt, result };
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private note(id: string): void {
    if (this.arrivedAt.has(id)) return;
    this.arrivedAt.set(id, nowMs());
    if (this.arrivedAt.size === this.wanted?.count) this.wanted.resolve();
  }
}
