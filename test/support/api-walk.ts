import type { System } from './system.js';

export interface JsonSchema {
  $ref?: string;
  type?: string;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
}

interface Described {
  operationId: string;
  summary?: string;
  tags?: string[];
  security?: unknown[];
  'x-scope'?: string;
  parameters?: { name: string; in: 'path' | 'query' | 'header'; required: boolean; schema: JsonSchema }[];
  requestBody?: { required: boolean; content: Record<string, { schema: JsonSchema }> };
  responses: Record<string, { content?: Record<string, { schema?: JsonSchema }> }>;
}

export interface ApiDocument {
  openapi: string;
  paths: Record<string, Record<string, Described>>;
  components: { schemas: Record<string, JsonSchema>; securitySchemes: Record<string, unknown> };
}

export interface Operation extends Described {
  method: string;
  /** With `{account}` and the like in it. */
  template: string;
  /** The body's schema, null where there is none. */
  bodySchema: JsonSchema | null;
}

export async function readDocument(system: System): Promise<ApiDocument> {
  const response = await fetch(`${system.url}/openapi.json`);
  return (await response.json()) as ApiDocument;
}

/** Every operation that the API says it has. */
export function operationsOf(document: ApiDocument): Operation[] {
  return Object.entries(document.paths).flatMap(([template, methods]) =>
    Object.entries(methods).map(([method, described]) => {
      const schema = described.requestBody?.content['application/json']?.schema;
      return {
        ...described,
        method: method.toUpperCase(),
        template,
        bodySchema: schema ? resolve(document, schema) : null,
      };
    }),
  );
}

export function resolve(document: ApiDocument, schema: JsonSchema): JsonSchema {
  if (schema.$ref === undefined) return schema;
  const named = document.components.schemas[schema.$ref.split('/').at(-1) ?? ''];
  if (!named) throw new Error(`${schema.$ref} leads nowhere`);
  return named;
}

/** One of each resource, by the name it has in paths. An event type has its own name there instead of an id. */
export type Ids = Record<'account' | 'endpoint' | 'event' | 'delivery' | 'key' | 'type', string>;

/** Makes an account with a paused endpoint, an event that is held for it, and a key with every scope. */
export async function oneOfEach(system: System): Promise<{ ids: Ids; key: string }> {
  const account = await system.account();
  const endpoint = await account.endpoint({ url: 'http://127.0.0.1:4433/', paused: true });
  const event = await account.publish();
  const delivery = await account.deliveryOf(event);
  const key = await system.ok<{ id: string; secret: string }>('POST', `${account.path}/keys`, {
    name: 'all',
  });
  const type = await system.ok<{ name: string }>('PUT', '/event-types/invoice.paid', {});
  return {
    ids: {
      account: account.id,
      endpoint: endpoint.id,
      event: event.id,
      delivery: delivery.id,
      key: key.id,
      type: type.name,
    },
    key: key.secret,
  };
}

export function pathOf(template: string, ids: Record<string, string>): string {
  return template.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const id = ids[name];
    if (id === undefined) throw new Error(`nothing stands for {${name}} of ${template}`);
    return id;
  });
}

const BODIES: Record<string, Record<string, unknown>> = {
  'Accounts.create': { name: 'Acme' },
  'Accounts.update': { plan: 'gold' },
  'OperatorKeys.create': { name: 'ops' },
  'AccountKeys.create': { name: 'app' },
  'EventTypes.register': { priority: 'high' },
  'Endpoints.create': {
    url: 'http://127.0.0.1:4433/',
    paused: true,
    rateLimit: { perSecond: 10, burst: 5 },
    maxInFlight: 8,
    lane: 'express',
    priority: 'low',
  },
  'Endpoints.update': { description: 'mine' },
  'Endpoints.rotateSecret': { overlapSeconds: 0 },
  'Events.publish': { type: 'invoice.paid', data: { amount: 1 } },
  'Events.publishBatch': { events: [{ type: 'invoice.paid', data: { amount: 1 } }] },
};

/** A body that the operation takes. */
export function bodyOf(operation: Operation): Record<string, unknown> | undefined {
  if (operation.bodySchema === null) return undefined;
  const body = BODIES[operation.operationId];
  if (!body) throw new Error(`add a body for ${operation.operationId} to test/support/api-walk.ts`);
  return body;
}

/** Calls an operation below the server's root, with any headers or none. */
export async function callOperation(
  system: System,
  operation: Operation,
  path: string,
  headers: Record<string, string>,
): Promise<{ status: number; code: unknown; text: string }> {
  const body = bodyOf(operation);
  const response = await fetch(`${system.url}${path}`, {
    method: operation.method,
    headers: { ...headers, ...(body ? { 'content-type': 'application/json' } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const text = await response.text();
  const problem = response.headers.get('content-type')?.startsWith('application/problem+json') === true;
  return {
    status: response.status,
    code: problem ? (JSON.parse(text) as { code: unknown }).code : undefined,
    text,
  };
}
