import { envelopeOf, withLast } from './envelope.js';
import type { Format } from './message.js';

/**
 * `{id, type, timestamp, version, data}`, with `context` after it where there is one, or `url` in place of `data`: the data
 * byte for byte as it was published. What a transformation made is sent as it is.
 */
export const posthornFormat: Format = ({ url, headers, body, event, isShaped, context, link }) => {
  const sent = { url, headers: { ...headers, 'content-type': 'application/json' } };
  if (isShaped && link === null) return { ...sent, body };
  const { id, type, version } = event;
  const facts = { id, type, timestamp: event.occurredAt.toISOString(), version };
  return {
    ...sent,
    body: link === null ? envelopeOf(facts, body, context) : withLast(facts, 'url', JSON.stringify(link)),
  };
};
