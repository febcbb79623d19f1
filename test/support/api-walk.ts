import { randomBytes } from 'node:crypto';
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

/** Of resources that have names of their own in paths instead of an id. */
export const NAMED = new Set(['type', 'version', 'from', 'to', 'plan', 'lookup']);

/**
 * One of each resource, by the name it has in paths; those that are {@link NAMED} by their name. The
 * leave of a handshake is known to the receiver alone: this one is none.
 */
export type Ids = Record<
  | 'account'
  | 'endpoint'
  | 'event'
  | 'delivery'
  | 'key'
  | 'token'
  | 'type'
  | 'version'
  | 'from'
  | 'to'
  | 'plan'
  | 'lookup'
  | 'leave'
  | 'fetchToken',
  string
>;

/** Makes an account with a paused endpoint, an event that is held for it, a key with every scope, and a portal token. */
export async function oneOfEach(system: System): Promise<{ ids: Ids; key: string }> {
  const account = await system.account();
  const endpoint = await account.endpoint({ url: 'http://127.0.0.1:4433/', paused: true });
  await system.ok('PUT', `${account.path}/endpoints/${endpoint.id}/transformation`, {
    kind: 'declarative',
    spec: {},
  });
  const event = await account.publish();
  const delivery = await account.deliveryOf(event);
  const key = await system.ok<{ id: string; secret: string }>('POST', `${account.path}/keys`, {
    name: 'all',
  });
  const token = await system.ok<{ id: string }>('POST', `${account.path}/portal-tokens`, {});
  const type = await system.ok<{ name: string }>('PUT', '/event-types/invoice.paid', {
    versions: [{ version: '1' }, { version: '2' }],
  });
  await system.ok('PUT', `/event-types/${type.name}/conversions/1/2`, CONVERSION);
  const lookup = await system.ok<{ name: string }>('POST', '/lookups', {
    name: `crm_${randomBytes(6).toString('hex')}`,
    url: 'http://127.0.0.1:4433/',
  });
  return {
    ids: {
      account: account.id,
      endpoint: endpoint.id,
      event: event.id,
      delivery: delivery.id,
      key: key.id,
      token: token.id,
      type: type.name,
      version: '1',
      from: '1',
      to: '2',
      leave: 'no-leave-at-all',
      fetchToken: 'no-token-at-all',
      plan: 'standard',
      lookup: lookup.name,
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

const CONVERSION = {
  transformation: { kind: 'declarative', spec: { rename: [{ from: 'amount', to: 'total' }] } },
  tests: [{ data: { amount: 1 }, expected: { total: 1 } }],
};

const BODIES: Record<string, Record<string, unknown>> = {
  'Accounts.create': { name: 'Acme' },
  'Accounts.update': { plan: 'gold' },
  'OperatorKeys.create': { name: 'ops' },
  'AccountKeys.create': { name: 'app' },
  'PortalTokens.create': { expiresInSeconds: 60 },
  'Portal.exchange': { code: `ptc_${'A'.repeat(43)}` },
  'Plans.create': { name: 'silver', limits: { endpoints: 3, priorityCeiling: 'high', lanes: ['auto'] } },
  'Plans.update': { limits: { endpoints: 3 } },
  'Lookups.create': {
    name: 'crm',
    url: 'http://127.0.0.1:4433/customers/{{ event.data.customer }}',
    auth: { type: 'bearer', token: 'the-token-of-the-crm' },
  },
  'Lookups.update': { timeoutMs: 500 },
  'EventTypes.register': { priority: 'high' },
  'EventTypes.import': { openapi: '3.1.0', webhooks: { 'imported.type': { post: {} } } },
  'EventTypes.addVersion': { version: '3' },
  'Conversions.put': CONVERSION,
  'EventTypes.changeVersion': { deprecatedAt: '2030-01-01T00:00:00.000Z' },
  'Endpoints.create': {
    url: 'http://127.0.0.1:4433/',
    paused: true,
    rateLimit: { perSecond: 10, burst: 5 },
    maxInFlight: 8,
    lane: 'express',
    priority: 'low',
  },
  'TestEvents.send': { type: 'invoice.paid', data: { amount: 1 } },
  'Preview.preview': { event: { type: 'invoice.paid', data: { amount: 1 } } },
  'Endpoints.update': { description: 'mine' },
  'Endpoints.rotateSecret': { overlapSeconds: 0 },
  'Transformations.put': { kind: 'declarative', spec: { omit: ['data.card'] } },
  'Transformations.rollback': { version: 1 },
  'Transformations.test': { event: { type: 'invoice.paid', data: { amount: 1 } } },
  'Events.publish': { type: 'invoice.paid', data: { amount: 1 } },
  'Events.publishBatch': { events: [{ type: 'invoice.paid', data: { amount: 1 } }] },
};

/** Bodies of other types than JSON of our own, where an operation takes some. */
export const OTHER_BODIES: Record<string, Record<string, unknown>> = {
  'application/cloudevents+json': {
    specversion: '1.0',
    id: '7',
    source: '/orders',
    type: 'invoice.paid',
    data: { amount: 1 },
  },
};

/** A body that the operation takes. */
export function bodyOf(operation: Operation): Record<string, unknown> | undefined {
  if (operation.bodySchema === null) return undefined;
  const body = BODIES[operation.operationId];
  if (!body) throw new Error(`add a body for ${operation.operationId} to test/support/api-walk.ts`);
  return body;
}

/** Calls an operation below the server's root, with any headers or none, and with `more` fields in its body if it has one. */
export async function callOperation(
  system: Pick<System, 'url'>,
  operation: Operation,
  path: string,
  headers: Record<string, string>,
  more: Record<string, unknown> = {},
): Promise<{ status: number; code: unknown; text: string; requestId: string | null; headers: Headers }> {
  const good = bodyOf(operation);
  const body = good && { ...good, ...more };
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
    requestId: response.headers.get('x-request-id'),
    headers: response.headers,
  };
}
