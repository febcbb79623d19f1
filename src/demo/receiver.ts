import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import { Webhook } from 'standardwebhooks';

export interface ReceiverOptions {
  /** The status to answer an event's nth attempt with. */
  answer: (attempt: number) => number;
  /** Whether this `data` (JSON text) was ever published, byte for byte. */
  published: (data: string) => boolean;
}

/** A customer's receiver on loopback: verifies what arrives with the reference library, and answers as told. */
export class Receiver {
  /** When each event was first seen, on the clock of `performance.now()`, by `webhook-id`. */
  readonly firstSeenAt = new Map<string, number>();
  verified = 0;
  /** What was wrong with requests that were not as they should be. */
  readonly refused: string[] = [];
  /** Events that were answered 2xx. */
  readonly accepted = new Set<string>();
  private readonly attempts = new Map<string, number>();
  private readonly waiting = new Map<string, () => void>();
  private webhook: Webhook | undefined;

  private constructor(
    private readonly server: Server,
    private readonly options: ReceiverOptions,
  ) {}

  /** Listens on a free port of loopback. */
  static async open(options: ReceiverOptions): Promise<Receiver> {
    const server = createServer();
    const receiver = new Receiver(server, options);
    server.on('request', (request, response) => {
      receiver.receive(request).then(
        (status) => response.writeHead(status).end(),
        () => response.destroy(),
      );
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get requests(): number {
    return this.verified + this.refused.length;
  }

  /** @param secret the endpoint's `whsec_…` */
  expectSignaturesOf(secret: string): void {
    this.webhook = new Webhook(secret);
  }

  /** Resolves when the event has arrived, whatever it was answered. */
  arrival(eventId: string): Promise<void> {
    if (this.firstSeenAt.has(eventId)) return Promise.resolve();
    return new Promise((resolve) => this.waiting.set(eventId, resolve));
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async receive(request: IncomingMessage): Promise<number> {
    const body = await textOf(request);
    const arrivedAt = performance.now();
    const problem = this.problemOf(body, request.headers as Record<string, string>);
    if (problem !== null) {
      this.refused.push(problem);
      return 400;
    }
    this.verified += 1;
    const eventId = String(request.headers['webhook-id']);
    const attempt = (this.attempts.get(eventId) ?? 0) + 1;
    this.attempts.set(eventId, attempt);
    if (attempt === 1) this.firstSeenAt.set(eventId, arrivedAt);
    const status = this.options.answer(attempt);
    if (status < 300) this.accepted.add(eventId);
    this.waiting.get(eventId)?.();
    this.waiting.delete(eventId);
    return status;
  }

  private problemOf(body: string, headers: Record<string, string>): string | null {
    try {
      this.webhook?.verify(body, headers);
    } catch (error) {
      return `signature: ${(error as Error).message}`;
    }
    const data = body.slice(body.indexOf('"data":') + '"data":'.length, -1);
    return this.options.published(data) ? null : 'the data is not what was published';
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
