import type { DeliverySummary } from '../../src/deliveries/deliveries.schema.js';
import type { EndpointCreated } from '../../src/endpoints/endpoints.schema.js';
import type { Published } from '../../src/events/events.schema.js';

/** Longer than a publish takes, shorter than a publisher would wait for a process that is frozen. */
const ANSWER_WITHIN_MS = 5_000;

/** An answer that was not expected. */
export class ApiError extends Error {
  constructor(
    what: string,
    readonly status: number,
    text: string,
  ) {
    super(`${what} answered ${status}: ${text}`);
  }
}

/** The calls that a provider makes. Each throws when there is no answer, or not the one hoped for. */
export class Api {
  constructor(
    readonly url: string,
    private readonly key: string,
  ) {}

  async account(name: string): Promise<string> {
    return (await this.call<{ id: string }>('POST', '/accounts', { name })).id;
  }

  endpoint(accountId: string, body: Record<string, unknown>): Promise<EndpointCreated> {
    return this.call('POST', `/accounts/${accountId}/endpoints`, body);
  }

  publish(accountId: string, body: Record<string, unknown>): Promise<Published> {
    return this.call('POST', `/accounts/${accountId}/events`, body);
  }

  /** True while the account has a delivery of this status. */
  async hasDeliveries(accountId: string, status: DeliverySummary['status']): Promise<boolean> {
    const page = await this.page(accountId, `limit=1&status=${status}`);
    return page.data.length > 0;
  }

  /** The whole delivery log of an account. */
  async deliveries(accountId: string): Promise<DeliverySummary[]> {
    const found: DeliverySummary[] = [];
    let page = await this.page(accountId, 'limit=250');
    found.push(...page.data);
    while (page.nextCursor !== null) {
      page = await this.page(accountId, `limit=250&cursor=${encodeURIComponent(page.nextCursor)}`);
      found.push(...page.data);
    }
    return found;
  }

  private page(
    accountId: string,
    query: string,
  ): Promise<{ data: DeliverySummary[]; nextCursor: string | null }> {
    return this.call('GET', `/accounts/${accountId}/deliveries?${query}`);
  }

  private async call<Body>(method: string, path: string, body?: unknown): Promise<Body> {
    const response = await fetch(`${this.url}/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    const text = await response.text();
    if (!response.ok) throw new ApiError(`${method} ${path}`, response.status, text);
    return JSON.parse(text) as Body;
  }
}
