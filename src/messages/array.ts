import type { FormatName, Message } from './message.js';

/** The shapes that have no place in an array. */
export const isBinary = (format: FormatName): boolean => format === 'cloudevents-binary';

/** Whether an endpoint receives arrays, whatever it receives. */
export const takesArrays = ({ in_batches, format }: { in_batches: boolean; format: FormatName }): boolean =>
  in_batches || format === 'cloudevents-batch';

/** CloudEvents JSON format 1.0.2 §4: a batch of structured events has a media type of its own. */
const TYPES: Readonly<Record<string, string>> = {
  'application/cloudevents+json': 'application/cloudevents-batch+json',
};

/** One request of several: the bodies in their order, and what the first that has a header says. @param messages one at least */
export function arrayOf(messages: readonly Message[], url: string): Message {
  const headers: Record<string, string> = {};
  for (const message of messages)
    for (const [name, value] of Object.entries(message.headers)) headers[name] ??= value;
  const type = headers['content-type'] ?? 'application/json';
  headers['content-type'] = TYPES[type] ?? type;
  return { url, headers, body: `[${messages.map(({ body }) => body).join(',')}]`, isArray: true };
}
