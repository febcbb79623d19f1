/** The shapes that an endpoint may receive events in. */
export const FORMATS = [
  'posthorn',
  'cloudevents-structured',
  'cloudevents-binary',
  'cloudevents-batch',
] as const;
export type FormatName = (typeof FORMATS)[number];

/** Whether a delivery carries the event's data, or a link to fetch the event by. */
export const PAYLOADS = ['full', 'thin'] as const;
export type Payload = (typeof PAYLOADS)[number];

/** What goes out in one request, before it is signed. */
export interface Message {
  url: string;
  /** Beside the endpoint's own and those of the signature, which both are added later. Names in lower case. */
  headers: Readonly<Record<string, string>>;
  /** What is signed and sent is these bytes in UTF-8. */
  body: string;
  /** Set where the body is an array of events, and the receiver may answer for each. */
  isArray?: true;
}

/** What a delivery tells of its event beside the data. */
export interface EventFacts {
  /** `evt_…` */
  id: string;
  /** UUID */
  accountId: string;
  type: string;
  occurredAt: Date;
  version: string;
  /** Empty for a format that does not show them. */
  tags: readonly string[];
}

/** A message that is being made: until it gets its format the body is the event's data, as JSON text. */
export interface Draft extends Message {
  event: EventFacts;
  /** Whether the body is not the event's data any more, but what a transformation made of the whole event. */
  isShaped: boolean;
  /** What lookups found, which stands beside the data, as JSON text; null for nothing. */
  context: string | null;
  /** Where to fetch the event, and then the message has no data; null: the body is sent. */
  link: string | null;
}

/** Changes what is sent: the data, its version, the address, headers. */
export type Step = (draft: Draft) => Draft | Promise<Draft>;

/** Gives a draft the shape that it is sent in. */
export type Format = (draft: Draft) => Message;
