import { Inject, Injectable } from '@nestjs/common';
import { toId } from '../common/ids.js';
import type { Settings } from '../config/settings.js';
import { SETTINGS_TOKEN } from '../config/settings.token.js';
import type { LoadedDelivery } from '../deliveries/loader.js';
import { EventCatalogue } from '../event-types/event-catalogue.js';
import { FetchLinks } from '../fetch-links/fetch-links.js';
import { binaryFormat, type SourceOf, structuredFormat } from './cloud-events-formats.js';
import { arrayOf, takesArrays } from './array.js';
import { compose, markTest, thinTo, withHeaders } from './compose.js';
import type { Draft, Format, FormatName, Message, Step } from './message.js';
import { posthornFormat } from './posthorn-format.js';
import type { Shape } from './shaper.js';

/** What is composed: a delivery, or what would be one, which has no id. */
export type Composed = Pick<
  LoadedDelivery,
  | 'account_id'
  | 'event_id'
  | 'type'
  | 'occurred_at'
  | 'version'
  | 'tags'
  | 'data'
  | 'url'
  | 'format'
  | 'in_batches'
  | 'payload'
  | 'test'
> & { id: string | null };

/** Makes of a stored event what its endpoint is to receive. */
@Injectable()
export class Composer {
  private readonly formats: Record<FormatName, Format>;

  constructor(
    private readonly links: FetchLinks,
    private readonly catalogue: EventCatalogue,
    @Inject(SETTINGS_TOKEN) settings: Settings,
  ) {
    const { CLOUDEVENTS_SOURCE: source } = settings;
    const sourceOf: SourceOf =
      source === undefined ? (accountId) => `/accounts/${toId('account', accountId)}` : () => source;
    const structured = structuredFormat(sourceOf);
    this.formats = {
      posthorn: posthornFormat,
      'cloudevents-structured': structured,
      'cloudevents-batch': structured,
      'cloudevents-binary': binaryFormat(sourceOf),
    };
  }

  /**
   * @param shape what its endpoint has made of it; null where it goes as it was published
   * @param atMs the moment of the attempt, unix milliseconds
   */
  compose(delivery: Composed, shape: Shape | null, atMs: number): Message | Promise<Message> {
    if (!takesArrays(delivery)) return this.composeOne(delivery, shape, atMs);
    // What is sent alone to an endpoint that collects looks as if it had been collected.
    if (delivery.in_batches) return this.composeArray([{ delivery, shape }], delivery.url, atMs);
    const one = this.composeOne(delivery, shape, atMs);
    return one instanceof Promise ? one.then(alone) : alone(one);
  }

  /**
   * One request of several events. Headers and path of their transformations are left out: they are of one event each.
   *
   * @param items one at least
   * @param url of the endpoint
   */
  async composeArray(
    items: readonly { delivery: Composed; shape: Shape | null }[],
    url: string,
    atMs: number,
  ): Promise<Message> {
    const messages: Message[] = [];
    for (const { delivery, shape } of items)
      messages.push(await this.composeOne(delivery, shape && { ...shape, headers: {} }, atMs));
    return arrayOf(messages, url);
  }

  private composeOne(delivery: Composed, shape: Shape | null, atMs: number): Message | Promise<Message> {
    const converted = shape?.converted;
    const sent = converted ? { ...delivery, ...converted } : delivery;
    const steps = this.stepsOf(sent, converted?.version, atMs);
    return compose(draftOf(sent, shape), steps, this.formats[delivery.format]);
  }

  /** In their order: what changes the data comes before what leaves it out. */
  private stepsOf(delivery: Composed, convertedTo: string | undefined, atMs: number): readonly Step[] {
    const steps: Step[] = [];
    const ending = this.catalogue.headersOf(delivery.type, delivery.version);
    if (ending) steps.push(withHeaders(ending));
    if (delivery.test) steps.push(markTest);
    if (delivery.payload === 'thin') steps.push(thinTo(this.links.linkFor(delivery, convertedTo, atMs)));
    return steps;
  }
}

const alone = (message: Message): Message => arrayOf([message], message.url);

const draftOf = (delivery: Composed, shape: Shape | null): Draft => ({
  url: shape?.url ?? delivery.url,
  headers: shape?.headers ?? {},
  body: shape?.body ?? delivery.data,
  isShaped: shape?.body !== undefined,
  event: {
    id: toId('event', delivery.event_id),
    accountId: delivery.account_id,
    type: delivery.type,
    occurredAt: delivery.occurred_at,
    version: delivery.version,
    tags: delivery.tags ?? [],
  },
  context: shape?.context ?? null,
  link: null,
});
