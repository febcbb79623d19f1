import { applyDecorators } from '@nestjs/common';
import { ApiHeader, type OpenAPIObject } from '@nestjs/swagger';
import { z } from 'zod';
import { BATCH_TYPE, STRUCTURED_TYPE } from './media-types.js';
import { cloudEvent, cloudEventBatch } from './cloud-events.schema.js';

const HEADERS = {
  'ce-specversion': '`1.0`; it makes the request a CloudEvent in binary mode, whose body is the data alone.',
  'ce-id': 'Required with it.',
  'ce-source': 'Required with it.',
  'ce-type': 'Required with it.',
  'ce-time': 'RFC 3339.',
  'ce-posthornversion': "The event's `version`; `ce-version` too.",
  'ce-posthorntags': "The event's `tags`, with commas between them; `ce-tags` too.",
  'ce-posthornpriority': "The event's `priority`; `ce-priority` too.",
};

/** Documents the attributes of a CloudEvent in binary mode. */
export const CloudEventHeaders = () =>
  applyDecorators(
    ...Object.entries(HEADERS).map(([name, description]) =>
      ApiHeader({ name, required: false, description, schema: { type: 'string' } }),
    ),
  );

type Schemas = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>;

/** Adds the types of body that the generator has no way to be told of to an operation. */
export function describeCloudEvents(document: OpenAPIObject, operationId: string): void {
  const operations = Object.values(document.paths).flatMap(({ post }) => (post ? [post] : []));
  const body = operations.find((operation) => operation.operationId === operationId)?.requestBody;
  if (!body || !('content' in body)) return;
  const registry = z.registry<{ id: string }>();
  registry.add(cloudEvent, { id: 'CloudEvent' });
  registry.add(cloudEventBatch, { id: 'CloudEventBatch' });
  const { schemas } = z.toJSONSchema(registry, {
    target: 'openapi-3.0',
    io: 'input',
    uri: (id) => `#/components/schemas/${id}`,
  });
  document.components ??= {};
  document.components.schemas ??= {};
  for (const [name, schema] of Object.entries(schemas)) {
    delete schema.$id;
    document.components.schemas[name] = schema as Schemas[string];
  }
  body.content[STRUCTURED_TYPE] = { schema: { $ref: '#/components/schemas/CloudEvent' } };
  body.content[BATCH_TYPE] = { schema: { $ref: '#/components/schemas/CloudEventBatch' } };
}
