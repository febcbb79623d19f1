import { EventEmitter, once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ended, started } from './left-over.js';

export interface Received {
  headers: IncomingHttpHeaders;
  body: string;
  path: string;
  atMs: number;
}

export type Answering = (
  response: ServerResponse,
  received: Received,
  count: number,
  request: IncomingMessage,
) => void;

const LISTEN_QUEUE = 4096;

/** A customer's system on a real socket of the loopback. */
export class Receiver {
  readonly received: Received[] = [];
  private readonly events = new EventEmitter();
  private readonly server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const received = {
        headers: request.headers,
        body: Buffer.concat(chunks).toString('utf8'),
        path: request.url ?? '',
        atMs: Date.now(),
      };
      this.received.push(received);
      this.answer(response, received, this.received.length, request);
      this.events.emit('received');
    });
  });

  private constructor(private answer: Answering) {
    this.events.setMaxListeners(0);
  }

  /** @param answer what to do with each request; 200 without a body when left out */
  static async start(answer: Answering = (response) => response.end()): Promise<Receiver> {
    const receiver = new Receiver(answer);
    // Deep: on a busy machine thousands of connections wait to be accepted, and what finds the queue full gets no answer.
    receiver.server.listen(0, '127.0.0.1', LISTEN_QUEUE);
    await once(receiver.server, 'listening');
    started(receiver, () => receiver.stop());
    return receiver;
  }

  /** Answers every request with this status. */
  static answering(status: number, headers: Record<string, string> = {}): Promise<Receiver> {
    return Receiver.start((response) => response.writeHead(status, headers).end());
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/hook`;
  }

  /** From now on. */
  answers(answer: Answering): void {
    this.answer = answer;
  }

  /** Resolves with the requests once there are `count` of them. */
  async got(count: number): Promise<Received[]> {
    while (this.received.length < count) await once(this.events, 'received');
    return this.received;
  }

  /** What is received next, because of `cause`. */
  async next(cause: () => Promise<unknown>): Promise<Received> {
    const count = this.received.length;
    await cause();
    const received = (await this.got(count + 1))[count];
    if (!received) throw new Error('nothing was received');
    return received;
  }

  async stop(): Promise<void> {
    ended(this);
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}
