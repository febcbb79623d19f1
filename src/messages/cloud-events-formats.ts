import { encodeHeaderValue } from '../cloud-events/header-values.js';
import { EXTENSIONS, joinTags, toJsonAttribute, toStringAttribute } from '../cloud-events/attributes.js';
import type { Draft, Format } from './message.js';

/** What `source` is for events of this account (UUID). */
export type SourceOf = (accountId: string) => string;

/** The event's context attributes in their order (CloudEvents 1.0.2 §3); a thin one has `dataref` for its data. */
function attributesOf({ event, context, link }: Draft, sourceOf: SourceOf): Record<string, string> {
  const version = toStringAttribute(event.version);
  const tags = toStringAttribute(joinTags(event.tags));
  return {
    specversion: '1.0',
    id: event.id,
    source: sourceOf(event.accountId),
    type: event.type,
    time: event.occurredAt.toISOString(),
    ...(version === '' ? {} : { [EXTENSIONS.version]: version }),
    ...(tags === '' ? {} : { [EXTENSIONS.tags]: tags }),
    ...(context === null || link !== null ? {} : { [EXTENSIONS.context]: toJsonAttribute(context) }),
    ...(link === null ? {} : { dataref: link }),
  };
}

/** One JSON object with the data in it, byte for byte (CloudEvents HTTP binding 1.0.2 §3.2, JSON format 1.0.2). */
export const structuredFormat =
  (sourceOf: SourceOf): Format =>
  (draft) => {
    const attributes = JSON.stringify(attributesOf(draft, sourceOf)).slice(0, -1);
    const data = draft.link === null ? `,"datacontenttype":"application/json","data":${draft.body}` : '';
    return {
      url: draft.url,
      headers: { ...draft.headers, 'content-type': 'application/cloudevents+json' },
      body: `${attributes}${data}}`,
    };
  };

/** The data as the body and the attributes as `ce-` headers (CloudEvents HTTP binding 1.0.2 §3.1). */
export const binaryFormat =
  (sourceOf: SourceOf): Format =>
  (draft) => {
    const headers: Record<string, string> = { ...draft.headers };
    for (const [name, value] of Object.entries(attributesOf(draft, sourceOf)))
      headers[`ce-${name}`] = encodeHeaderValue(value);
    // Without data there is no type of it either.
    if (draft.link !== null) return { url: draft.url, headers, body: '' };
    headers['content-type'] = 'application/json';
    return { url: draft.url, headers, body: draft.body };
  };
