import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import type { DeliveryShown, DeliverySummary } from '../../src/deliveries/deliveries.schema.js';
import type { EndpointCreated } from '../../src/endpoints/endpoints.schema.js';
import type { Published } from '../../src/events/events.schema.js';
import { type Received, Receiver } from './receiver.js';
import { type Account, System } from './system.js';
import { until } from './until.js';

/** Longer than any test: windows with it end because they are full, or because somebody ends them. */
export const AN_HOUR = 3_600;

export interface Item {
  id: string;
  type: string;
  data: { n: number };
}

export const itemsIn = ({ body }: Received): Item[] => JSON.parse(body) as Item[];
export const numbersIn = (received: Received): number[] => itemsIn(received).map(({ data }) => data.n);

/** An account whose events are numbered and sent together. */
export class Collecting {
  constructor(
    readonly account: Account,
    readonly receiver: Receiver,
  ) {}

  endpoint(batch: object, rest: object = {}): Promise<EndpointCreated> {
    const limits = { maxWaitSeconds: AN_HOUR, ...batch };
    return this.account.endpoint({ url: this.receiver.url, batch: limits, ...rest });
  }

  publish(n: number): Promise<Published> {
    return this.account.publish({ type: 'counted.event', data: { n } });
  }

  /** In one commit, numbered from 0. */
  async publishMany(count: number): Promise<Published[]> {
    const events = Array.from({ length: count }, (_, n) => ({ type: 'counted.event', data: { n } }));
    const path = `${this.account.path}/events/batch`;
    return (await this.account.system.ok<{ data: Published[] }>('POST', path, { events })).data;
  }

  /** The batch that carries an event, once `accept` likes it. */
  async batchOf(
    event: { id: string },
    accept: (batch: DeliveryShown) => boolean = () => true,
  ): Promise<DeliveryShown> {
    const item = await this.account.deliveryOf(event, ({ batchId }) => batchId !== null);
    return until(() => this.account.delivery(item.batchId ?? ''), accept);
  }

  item(event: { id: string }, status: DeliverySummary['status']): Promise<DeliverySummary> {
    return this.account.deliveryOf(event, (delivery) => delivery.status === status);
  }

  act(delivery: { id: string }, action: 'retry' | 'cancel'): Promise<DeliveryShown> {
    return this.account.system.ok('POST', `${this.account.path}/deliveries/${delivery.id}/${action}`);
  }

  change(endpoint: { id: string }, body: object): Promise<unknown> {
    return this.account.system.ok('PATCH', `${this.account.path}/endpoints/${endpoint.id}`, body);
  }
}

/** What {@link eachCollecting} gives the test that runs. */
export interface CollectingWorld {
  readonly system: System;
  readonly collecting: Collecting;
  readonly account: Account;
  readonly receiver: Receiver;
}

/** A system for all tests of a block, and a {@link Collecting} with a new account and receiver for each of them. */
export function eachCollecting(env: Record<string, string> = {}): CollectingWorld {
  let system: System;
  let collecting: Collecting;
  beforeAll(async () => {
    system = await System.start({ env });
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    collecting = new Collecting(await system.account(), await Receiver.start());
  });
  afterEach(() => collecting.receiver.stop());
  return {
    get system() {
      return system;
    },
    get collecting() {
      return collecting;
    },
    get account() {
      return collecting.account;
    },
    get receiver() {
      return collecting.receiver;
    },
  };
}
