import { DIALECT, isObject } from '../../json-schema/schema-rules.js';
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

const METHODS = ['post', 'put', 'patch', 'get', 'delete'] as const;

export const isOpenApi = (document: unknown): boolean =>
  isObject(document) && typeof document.openapi === 'string';

/** Reads the `webhooks` of an OpenAPI 3.1 document. @param refuse is told of what is of no use */
export function readOpenApi(
  document: Readonly<Record<string, unknown>>,
  refuse: (error: DocumentRefusedError) => void,
): Documented[] {
  if (!/^3\.[1-9]/.test(String(document.openapi)))
    throw new DocumentRefusedError('/openapi', 'must be 3.1: earlier ones have no `webhooks`');
  if (!isObject(document.webhooks)) throw new DocumentRefusedError('/webhooks', 'must be there');
  const found: Documented[] = [];
  for (const webhook of members({ pointer: '/webhooks', value: document.webhooks })) {
    try {
      found.push(readWebhook(document, webhook));
    } catch (error) {
      if (!(error instanceof DocumentRefusedError)) throw error;
      refuse(error);
    }
  }
  return found;
}

function readWebhook(document: unknown, webhook: Placed & { name: string }): Documented {
  const item = follow(document, webhook);
  const method = METHODS.find((name) => isObject(item.value) && isObject(item.value[name]));
  if (!isObject(item.value) || !method)
    throw new DocumentRefusedError(webhook.pointer, 'must have an operation, such as `post`');
  const operation = {
    pointer: `${item.pointer}/${method}`,
    value: item.value[method] as Record<string, unknown>,
  };
  const extension = readExtension(operation.pointer, operation.value);
  const [name, ...version] = webhook.name.split('@');
  const description = textOf(
    operation.value.description,
    operation.value.summary,
    item.value.description,
    item.value.summary,
  );
  const group = Array.isArray(operation.value.tags) ? tagName(operation.value.tags[0]) : undefined;
  const content = contentOf(document, member(document, operation, 'requestBody'));
  const schema = content && member(document, content, 'schema') && placed(content, 'schema');
  return {
    pointer: webhook.pointer,
    version: version.length === 0 ? '1' : version.join('@'),
    ...(description === undefined ? {} : { description }),
    ...(group === undefined ? {} : { group }),
    ...(schema ? { schema } : {}),
    examples: content ? examplesOf(document, content) : [],
    ...(extension ? fromExtension(extension) : {}),
    type: extension?.type ?? typeNamed(webhook.pointer, name),
  };
}

/** A member as it stands, with the references that it may be. */
const placed = ({ pointer, value }: Placed, name: string): Placed => ({
  pointer: `${pointer}/${name}`,
  value: (value as Record<string, unknown>)[name],
});

function contentOf(document: unknown, body: Placed | undefined): Placed | undefined {
  const content = body && member(document, body, 'content');
  if (!content) return undefined;
  const types = [...members(content)];
  const json =
    types.find(({ name }) => name === 'application/json') ??
    types.find(({ name }) => /^[a-z.]+\/([a-z.0-9-]+\+)?json\b/i.test(name));
  return json && follow(document, json);
}

function examplesOf(document: unknown, content: Placed): Placed[] {
  const one = member(document, content, 'example');
  const many = member(document, content, 'examples');
  return [
    ...(one ? [one] : []),
    ...(many ? [...members(many)] : []).flatMap((example) => {
      const value = member(document, follow(document, example), 'value');
      return value ? [value] : [];
    }),
  ];
}

/** The `webhooks` that receivers of these types get, by type, or by type and version where a type has several. */
export function writeOpenApi(types: readonly EventTypeRecord[]): Record<string, unknown> {
  const webhooks = types.flatMap((type) =>
    documentedVersions(type).map((version): [string, unknown] => [
      type.versions.length > 1 ? `${type.name}@${version?.version ?? ''}` : type.name,
      {
        post: {
          ...(type.description === null ? {} : { description: type.description }),
          ...(type.group === null ? {} : { tags: [type.group] }),
          ...(version && version.deprecatedAt !== null ? { deprecated: true } : {}),
          ...(version
            ? {
                requestBody: {
                  required: true,
                  content: {
                    'application/json': {
                      schema: envelopeSchema({ type: type.name, ...version }),
                      ...(version.examples.length === 0
                        ? {}
                        : {
                            examples: Object.fromEntries(
                              version.examples.map((data, index) => [
                                `example-${index + 1}`,
                                { value: envelopeExample(type.name, version.version, data) },
                              ]),
                            ),
                          }),
                    },
                  },
                },
              }
            : {}),
          responses: { '2XX': { description: 'Received' } },
          [EXTENSION]: extensionOf(type, version),
        },
      },
    ]),
  );
  return {
    openapi: '3.1.0',
    info: { title: 'Events', version: '1' },
    jsonSchemaDialect: DIALECT,
    webhooks: Object.fromEntries(webhooks),
  };
}
