import type { AccountShown } from '../accounts/accounts.schema.js';
import type { Scope } from '../auth/scopes.js';
import type { DeliveriesQuery, DeliveryShown, DeliverySummary } from '../deliveries/deliveries.schema.js';
import type { CreateEndpointBody, EndpointCreated, EndpointShown } from '../endpoints/endpoints.schema.js';
import type { Published } from '../events/events.schema.js';
import { DemoError } from './demo-error.js';

const ANSWER_WITHIN_MS = 30_000;
const PAGE = 250;

/** The calls of Posthorn's API that the demo makes, over HTTP as anyone would make them. */
export class Api {
  constructor(
    readonly url: string,
    private readonly key: string,
    private readonly signal: AbortSignal,
  ) {}

  createAccount(name: string): Promise<AccountShown> {
    return this.call('POST', '/v1/accounts', JSON.stringify({ name }));
  }

  /** @returns the key itself */
  async createKey(accountId: string, name: string, scopes: Scope[], expiresAt: Date): Promise<string> {
    const body = JSON.stringify({ name, scopes, expiresAt: expiresAt.toISOString() });
    const { secret } = await this.call<{ secret: string }>('POST', `/v1/accounts/${accountId}/keys`, body);
    return secret;
  }

  createEndpoint(accountId: string, endpoint: CreateEndpointBody): Promise<EndpointCreated> {
    return this.call('POST', `/v1/accounts/${accountId}/endpoints`, JSON.stringify(endpoint));
  }

  endpoint(accountId: string, endpointId: string): Promise<EndpointShown> {
    return this.call('GET', `/v1/accounts/${accountId}/endpoints/${endpointId}`);
  }

  async deleteEndpoint(accountId: string, endpointId: string, signal: AbortSignal): Promise<void> {
    await this.call('DELETE', `/v1/accounts/${accountId}/endpoints/${endpointId}`, undefined, signal);
  }

  /** @param data JSON text, published as it is */
  publish(accountId: string, event: { type: string; externalId: string; data: string }): Promise<Published> {
    const envelope = JSON.stringify({ type: event.type, externalId: event.externalId });
    const body = `${envelope.slice(0, -1)},"data":${event.data}}`;
    return this.call('POST', `/v1/accounts/${accountId}/events`, body);
  }

  delivery(accountId: string, deliveryId: string): Promise<DeliveryShown> {
    return this.call('GET', `/v1/accounts/${accountId}/deliveries/${deliveryId}`);
  }

  /** Whether the account has a delivery with this status. */
  async hasDelivery(accountId: string, status: DeliverySummary['status']): Promise<boolean> {
    const { data } = await this.deliveriesPage(accountId, { status, limit: 1 });
    return data.length > 0;
  }

  async deliveriesOf(accountId: string, endpointId: string): Promise<DeliverySummary[]> {
    const all: DeliverySummary[] = [];
    let cursor: string | null = null;
    do {
      const page: DeliveriesPage = await this.deliveriesPage(accountId, {
        endpointId,
        limit: PAGE,
        ...(cursor === null ? {} : { cursor }),
      });
      all.push(...page.data);
      cursor = page.nextCursor;
    } while (cursor !== null);
    return all;
  }

  private deliveriesPage(accountId: string, query: Partial<DeliveriesQuery>): Promise<DeliveriesPage> {
    const parameters = Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]);
    const search = new URLSearchParams(parameters).toString();
    return this.call('GET', `/v1/accounts/${accountId}/deliveries?${search}`);
  }

  private async call<Answer>(
    method: string,
    path: string,
    body?: string,
    signal: AbortSignal = this.signal,
  ): Promise<Answer> {
    const response = await this.send(method, path, body, signal);
    const text = await response.text();
    if (response.ok) return (text === '' ? undefined : JSON.parse(text)) as Answer;
    const call = `${method} ${path.replace(/\?.*/, '')}`;
    throw new DemoError(
      `${call} answered ${response.status}: ${reasonIn(text)}`,
      hintFor(response.status, text),
    );
  }

  private async send(
    method: string,
    path: string,
    body: string | undefined,
    signal: AbortSignal,
  ): Promise<Response> {
    try {
      return await fetch(this.url + path, {
        method,
        headers: {
          authorization: `Bearer ${this.key}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body }),
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]),
      });
    } catch (error) {
      signal.throwIfAborted();
      throw new DemoError(`${this.url} does not answer: ${causeOf(error)}`, 'Is Posthorn still running?');
    }
  }
}

interface DeliveriesPage {
  data: DeliverySummary[];
  nextCursor: string | null;
}

function reasonIn(text: string): string {
  try {
    const { detail, code, errors } = JSON.parse(text) as Record<string, unknown>;
    const fields = Array.isArray(errors) ? ` ${JSON.stringify(errors)}` : '';
    return `${String(detail)} (${String(code)})${fields}`;
  } catch {
    return text.slice(0, 200);
  }
}

function hintFor(status: number, text: string): string | undefined {
  if (status === 401 || status === 403) return 'Set POSTHORN_ROOT_KEY to an operator key of this system.';
  if (text.includes('endpoint_url_refused')) {
    return 'The receivers are on loopback: start Posthorn with POSTHORN_EGRESS_ALLOW=127.0.0.0/8.';
  }
  return undefined;
}

function causeOf(error: unknown): string {
  const { cause, message } = error as Error & { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? message;
}
