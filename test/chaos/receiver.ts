import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

/** What a receiver does with the nth request of a `webhook-id`, from 1. */
export type Temper = (nth: number, response: ServerResponse) => 'accepts' | 'refuses';

/** What one endpoint got of one event. */
export interface Receipt {
  requests: number;
  /** Requests that were answered 2xx. */
  accepted: number;
  firstAcceptedAtMs: number | null;
}

export interface ReceiverLedger {
  /** By endpoint and `webhook-id`, see {@link pairOf}. */
  receipts: Map<string, Receipt>;
  /** Each `webhook-id` that came with an external id. */
  idsOf: Map<string, Set<string>>;
  /** Requests whose signature the reference library of Standard Webhooks refused. */
  badSignatures: number;
}

export const pairOf = (endpoint: string, webhookId: string): string => `${endpoint} ${webhookId}`;

/** The customers' systems: one server, one path for each endpoint, and a ledger of all that arrives. */
export class Receiver {
  readonly ledger: ReceiverLedger = { receipts: new Map(), idsOf: new Map(), badSignatures: 0 };
  private readonly endpoints = new Map<string, { temper: Temper; webhook?: Webhook }>();
  private readonly server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const name = (request.url ?? '').slice(1);
      this.receive(name, request.headers, Buffer.concat(chunks).toString('utf8'), response);
    });
    request.on('error', () => undefined);
  });

  static async open(): Promise<Receiver> {
    const receiver = new Receiver();
    receiver.server.listen(0, '127.0.0.1');
    await once(receiver.server, 'listening');
    return receiver;
  }

  /** @returns the URL to register for the endpoint of this name */
  offer(name: string, temper: Temper): string {
    this.endpoints.set(name, { temper });
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/${name}`;
  }

  /** From now on what arrives for the endpoint must be signed with this secret. */
  trust(name: string, secret: string): void {
    const endpoint = this.endpoints.get(name);
    if (endpoint) endpoint.webhook = new Webhook(secret);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private receive(name: string, headers: IncomingHttpHeaders, body: string, response: ServerResponse): void {
    const endpoint = this.endpoints.get(name);
    const id = String(headers['webhook-id']);
    if (!endpoint?.webhook || !isSigned(endpoint.webhook, headers, body)) {
      this.ledger.badSignatures += 1;
      response.writeHead(401).end();
      return;
    }
    const { data } = JSON.parse(body) as { data: { externalId: string } };
    const ids = this.ledger.idsOf.get(data.externalId) ?? new Set();
    this.ledger.idsOf.set(data.externalId, ids.add(id));
    const pair = pairOf(name, id);
    const receipt = this.ledger.receipts.get(pair) ?? { requests: 0, accepted: 0, firstAcceptedAtMs: null };
    this.ledger.receipts.set(pair, receipt);
    receipt.requests += 1;
    if (endpoint.temper(receipt.requests, response) === 'refuses') return;
    receipt.accepted += 1;
    receipt.firstAcceptedAtMs ??= Date.now();
  }
}

function isSigned(webhook: Webhook, headers: IncomingHttpHeaders, body: string): boolean {
  try {
    webhook.verify(body, headers as Record<string, string>);
    return true;
  } catch {
    return false;
  }
}
