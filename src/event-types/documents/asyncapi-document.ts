import { pointerTo } from '../../json-schema/pointer.js';
import { isObject } from '../../json-schema/schema-rules.js';
import type { EventTypeRecord } from '../event-type-record.js';
import {
  type Documented,
  DocumentRefusedError,
  EXTENSION,
  follow,
  fromExtension,
  member,
  members,
  type Placed,
  readExtension,
  textOf,
  typeNamed,
} from './documented.js';
import { envelopeExample, envelopeSchema } from './envelope.js';
import { documentedVersions, extensionOf, tagName } from './write-document.js';

export const isAsyncApi = (document: unknown): boolean =>
  isObject(document) && typeof document.asyncapi === 'string';

/** Formats of schemas that are JSON Schema, or AsyncAPI's own, which is JSON Schema and more. */
const JSON_SCHEMA = /^application\/(vnd\.aai\.asyncapi|schema)\+json\b/;
const WRITTEN_FORMAT = 'application/schema+json;version=draft-2020-12';

interface FoundMessage {
  message: Placed;
  /** What an event type may be called by when the message has no name that it may have. */
  names: unknown[];
}

/** Reads the messages of all channels of an AsyncAPI 2 or 3 document. @param refuse is told of what is of no use */
export function readAsyncApi(
  document: Readonly<Record<string, unknown>>,
  refuse: (error: DocumentRefusedError) => void,
): Documented[] {
  const [major] = String(document.asyncapi).split('.');
  if (major !== '2' && major !== '3') throw new DocumentRefusedError('/asyncapi', 'must be 2 or 3');
  if (!isObject(document.channels)) throw new DocumentRefusedError('/channels', 'must be there');
  const found: Documented[] = [];
  const attempt = (work: () => void) => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof DocumentRefusedError)) throw error;
      refuse(error);
    }
  };
  for (const channel of members({ pointer: '/channels', value: document.channels })) {
    attempt(() => {
      const messages = major === '2' ? messagesOf2(document, channel) : messagesOf3(document, channel);
      for (const message of messages) attempt(() => found.push(readMessage(document, message)));
    });
  }
  return found;
}

/** A message stands in the operations of its channel, alone or among others. */
function messagesOf2(document: unknown, named: Placed & { name: string }): FoundMessage[] {
  const channel = follow(document, named);
  for (const name of ['subscribe', 'publish']) {
    const operation = member(document, channel, name);
    const message = operation && member(document, operation, 'message');
    if (!message) continue;
    const several = member(document, message, 'oneOf');
    return (several ? [...members(several)] : [message]).map((each) => ({
      message: each,
      names: [named.name],
    }));
  }
  throw new DocumentRefusedError(named.pointer, 'must have an operation with a message');
}

function messagesOf3(document: unknown, named: Placed & { name: string }): FoundMessage[] {
  const channel = follow(document, named);
  const messages = member(document, channel, 'messages');
  if (!messages) throw new DocumentRefusedError(named.pointer, 'must have messages');
  const address = isObject(channel.value) ? channel.value.address : undefined;
  return [...members(messages)].map((message) => ({ message, names: [message.name, address, named.name] }));
}

function readMessage(document: unknown, { message: given, names }: FoundMessage): Documented {
  const message = follow(document, given);
  if (!isObject(message.value)) throw new DocumentRefusedError(given.pointer, 'must be a message');
  const extension = readExtension(message.pointer, message.value);
  const { description: long, summary, title, name, tags } = message.value;
  const description = textOf(long, summary, title);
  const group = Array.isArray(tags) ? tagName(tags[0]) : undefined;
  const schema = payloadOf(document, message);
  return {
    pointer: given.pointer,
    version: '1',
    ...(description === undefined ? {} : { description }),
    ...(group === undefined ? {} : { group }),
    ...(schema ? { schema } : {}),
    examples: [...members(member(document, message, 'examples') ?? NOTHING)].flatMap((example) => {
      const payload = member(document, example, 'payload');
      return payload ? [payload] : [];
    }),
    ...(extension ? fromExtension(extension) : {}),
    type: extension?.type ?? typeNamed(given.pointer, name, ...names),
  };
}

const NOTHING: Placed = { pointer: '', value: [] };

/** The schema of a message: of AsyncAPI 2 beside its format, of AsyncAPI 3 in one object with it, or alone. */
function payloadOf(document: unknown, { pointer, value }: Placed): Placed | undefined {
  if (!isObject(value) || !Object.hasOwn(value, 'payload')) return undefined;
  const { payload } = value;
  const isWithFormat = isObject(payload) && typeof payload.schemaFormat === 'string';
  const format = isWithFormat ? payload.schemaFormat : value.schemaFormat;
  if (format !== undefined && !(typeof format === 'string' && JSON_SCHEMA.test(format)))
    throw new DocumentRefusedError(`${pointer}/payload`, 'must be described by JSON Schema');
  return isWithFormat
    ? { pointer: `${pointer}/payload/schema`, value: payload.schema }
    : { pointer: `${pointer}/payload`, value: payload };
}

/** A channel for each type, with a message for each of its versions. */
export function writeAsyncApi(types: readonly EventTypeRecord[]): Record<string, unknown> {
  const written = types.map((type) => {
    const messages = documentedVersions(type).map((version): [string, unknown] => [
      // Whole numbers would come in another order.
      `${type.name}@${version?.version ?? ''}`,
      {
        name: type.name,
        contentType: 'application/json',
        ...(type.description === null ? {} : { description: type.description }),
        ...(type.group === null ? {} : { tags: [{ name: type.group }] }),
        ...(version
          ? {
              payload: {
                schemaFormat: WRITTEN_FORMAT,
                schema: envelopeSchema({ type: type.name, ...version }),
              },
              examples: version.examples.map((data) => ({
                payload: envelopeExample(type.name, version.version, data),
              })),
            }
          : {}),
        [EXTENSION]: extensionOf(type, version),
      },
    ]);
    return { name: type.name, messages };
  });
  return {
    asyncapi: '3.0.0',
    info: { title: 'Events', version: '1' },
    defaultContentType: 'application/json',
    channels: Object.fromEntries(
      written.map(({ name, messages }) => [name, { address: name, messages: Object.fromEntries(messages) }]),
    ),
    operations: Object.fromEntries(
      written.map(({ name, messages }) => [
        name,
        {
          action: 'send',
          channel: { $ref: `#/channels${pointerTo(name)}` },
          messages: messages.map(([key]) => ({
            $ref: `#/channels${pointerTo(name)}/messages${pointerTo(key)}`,
          })),
        },
      ]),
    ),
  };
}
