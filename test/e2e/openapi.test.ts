import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import { ALL_SCOPES } from '../../src/auth/scopes.js';
import { PROBLEMS } from '../../src/common/problems.js';
import { renderOpenApi } from '../../src/http/render-openapi.js';
import {
  type ApiDocument,
  bodyOf,
  type Ids,
  oneOfEach,
  type Operation,
  operationsOf,
  OTHER_BODIES,
  pathOf,
  readDocument,
} from '../support/api-walk.js';
import { System } from '../support/system.js';

describe('the OpenAPI document', () => {
  let system: System;
  let document: ApiDocument;
  let operations: Operation[];
  let ids: Ids;

  beforeAll(async () => {
    system = await System.start();
    document = await readDocument(system);
    operations = operationsOf(document);
    ({ ids } = await oneOfEach(system));
  });
  afterAll(() => system.stop());

  /** Every object in the document, with where it is. */
  const walk = function* (value: unknown, at = '#'): Generator<[string, Record<string, unknown>]> {
    if (typeof value !== 'object' || value === null) return;
    if (!Array.isArray(value)) yield [at, value as Record<string, unknown>];
    for (const [key, inner] of Object.entries(value)) yield* walk(inner, `${at}/${key}`);
  };

  it('is OpenAPI 3.0 with every reference leading somewhere', () => {
    expect(document.openapi).toMatch(/^3\.0\.\d+$/);
    expect(document).toMatchObject({ info: { title: 'Posthorn', version: expect.any(String) } });
    const names = new Set(
      Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`),
    );
    const references = [...walk(document)].flatMap(([, { $ref }]) =>
      typeof $ref === 'string' ? [$ref] : [],
    );
    expect(references.length).toBeGreaterThan(40);
    expect(references.filter((reference) => !names.has(reference))).toEqual([]);
    expect([...names].filter((name) => !references.includes(name))).toEqual([]);
  });

  it('is the same when it is printed without any server', async () => {
    expect(JSON.parse(await renderOpenApi())).toEqual(document);
  });

  it('uses no keyword of JSON Schema that OpenAPI 3.0 does not know', () => {
    const foreign = [
      'const',
      '$schema',
      '$defs',
      'propertyNames',
      'patternProperties',
      'examples',
      'prefixItems',
      'if',
      '$id',
      'exclusiveMinimum',
    ];
    const found = [...walk(document.components.schemas), ...walk(document.paths)].flatMap(([at, each]) => [
      ...foreign
        .filter(
          (keyword) =>
            keyword in each && (keyword !== 'exclusiveMinimum' || typeof each[keyword] !== 'boolean'),
        )
        .map((keyword) => `${at}/${keyword}`),
      ...(Array.isArray(each.type) || each.type === 'null' ? [`${at}/type`] : []),
    ]);
    expect(found.filter((at) => !/\/properties\/[^/]+$/.test(at))).toEqual([]);
  });

  it('names each operation once, and says what it is for', () => {
    const names = operations.map(({ operationId }) => operationId);
    expect(new Set(names).size).toBe(names.length);
    for (const { operationId, summary, tags } of operations) {
      expect([operationId, operationId.includes('.'), (summary ?? '').length > 5, tags?.length]).toEqual([
        operationId,
        true,
        true,
        1,
      ]);
    }
  });

  it('states the scope of every operation that needs a key', () => {
    for (const operation of operations) {
      if (
        [
          '/.well-known/posthorn.json',
          '/healthz',
          '/readyz',
          '/v1/portal/exchange',
          '/v1/handshakes/{leave}',
          '/v1/fetch/{fetchToken}',
        ].includes(operation.template)
      ) {
        expect([operation.template, operation.security]).toEqual([operation.template, undefined]);
        continue;
      }
      expect(ALL_SCOPES).toContain(operation['x-scope']);
      expect([operation.template, operation.security]).toEqual([operation.template, [{ key: [] }]]);
    }
    expect(document.components.securitySchemes).toMatchObject({ key: { type: 'http', scheme: 'bearer' } });
  });

  it('describes every parameter where it stands', () => {
    for (const { template, operationId, parameters = [] } of operations) {
      const inPath = parameters.filter((parameter) => parameter.in === 'path');
      const named = [...template.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '');
      expect([operationId, inPath.map(({ name }) => name).sort()]).toEqual([operationId, named.sort()]);
      expect(inPath.filter(({ required, schema }) => !required || !('pattern' in schema))).toEqual([]);
      expect(new Set(parameters.map((parameter) => `${parameter.in} ${parameter.name}`)).size).toBe(
        parameters.length,
      );
    }
    const queryOf = (id: string) =>
      operations
        .find(({ operationId }) => operationId === id)
        ?.parameters?.filter((parameter) => parameter.in === 'query')
        .map(({ name }) => name)
        .sort();
    expect(queryOf('Deliveries.list')).toEqual([
      'batchId',
      'cursor',
      'endpointId',
      'eventId',
      'eventType',
      'limit',
      'priority',
      'since',
      'status',
      'until',
    ]);
    expect(queryOf('Accounts.list')).toEqual(['cursor', 'limit']);
    expect(queryOf('Events.list')).toEqual(['cursor', 'externalId', 'limit', 'type']);
  });

  it('offers Idempotency-Key for every write that has a caller, and only there', () => {
    for (const operation of operations) {
      const { operationId, method, parameters = [] } = operation;
      const offered = parameters.some(({ name }) => name === 'Idempotency-Key');
      const wanted = method !== 'GET' && operation['x-scope'] !== undefined;
      expect([operationId, offered]).toEqual([operationId, wanted]);
    }
  });

  it('has a named schema for every body and every answer, and problems for what goes wrong', () => {
    for (const { operationId, requestBody, responses } of operations) {
      if (requestBody) expect(requestBody.content['application/json']?.schema.$ref).toBeDefined();
      const good = Object.entries(responses).filter(([status]) => status !== 'default');
      expect([operationId, good.length > 0]).toEqual([operationId, true]);
      for (const [status, { content }] of good) {
        if (status === '204') expect([operationId, content]).toEqual([operationId, undefined]);
        else if (operationId === 'Metrics.read') expect(content?.['text/plain']?.schema?.type).toBe('string');
        else
          expect([operationId, content?.['application/json']?.schema?.$ref]).toEqual([
            operationId,
            expect.any(String),
          ]);
      }
      expect(responses.default?.content).toEqual({
        'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
      });
    }
    const required = operations.filter(({ requestBody }) => requestBody?.required === true);
    expect(required.map(({ operationId }) => operationId)).toContain('Events.publish');
    expect(required.map(({ operationId }) => operationId)).not.toContain('Endpoints.rotateSecret');
  });

  it('describes the CloudEvents that are published beside our own JSON', () => {
    const { requestBody, parameters = [] } =
      operations.find(({ operationId }) => operationId === 'Events.publish') ?? {};
    expect(requestBody?.content).toEqual({
      'application/json': { schema: { $ref: '#/components/schemas/PublishEvent' } },
      'application/cloudevents+json': { schema: { $ref: '#/components/schemas/CloudEvent' } },
      'application/cloudevents-batch+json': { schema: { $ref: '#/components/schemas/CloudEventBatch' } },
    });
    expect(
      parameters.filter(({ in: place, name }) => place === 'header' && name.startsWith('ce-')),
    ).toHaveLength(8);
    const accepts = (value: unknown) =>
      ajvFor(document).accepts('#/components/schemas/CloudEventBatch', [value]);
    const event = { ...OTHER_BODIES['application/cloudevents+json'], traceparent: '00-1' };
    expect([
      accepts(event),
      accepts({ ...event, specversion: '0.3' }),
      accepts({ ...event, id: '' }),
    ]).toEqual([true, false, false]);
  });

  it('lists every code of a problem', () => {
    const { properties } = document.components.schemas.Problem as {
      properties: { code: { enum: string[] } };
    };
    expect(properties.code.enum.sort()).toEqual(Object.keys(PROBLEMS).sort());
  });

  it('describes what is answered, on every route', async () => {
    const schemas = ajvFor(document);
    const wrong: string[] = [];
    // What is deleted or cancelled would be missing for the rest.
    const order = (operation: Operation) =>
      operation.method === 'DELETE' ? 2 : /cancel|retry/.test(operation.template) ? 1 : 0;
    for (const operation of [...operations].sort((a, b) => order(a) - order(b))) {
      const body = bodyOf(operation);
      const response = await fetch(`${system.url}${pathOf(operation.template, ids)}`, {
        method: operation.method,
        headers: {
          authorization: `Bearer ${system.rootKey}`,
          ...(body ? { 'content-type': 'application/json' } : {}),
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
      const text = await response.text();
      const described = operation.responses[String(response.status)] ?? operation.responses.default;
      const [type] = (response.headers.get('content-type') ?? '').split(';');
      const schema = described?.content?.[type ?? '']?.schema;
      if (text === '' ? described?.content !== undefined : schema === undefined) {
        wrong.push(`${operation.operationId}: ${response.status} ${type} is not described`);
      } else if (schema?.$ref !== undefined && !schemas.accepts(schema.$ref, JSON.parse(text))) {
        wrong.push(`${operation.operationId}: ${response.status} ${schemas.why()}: ${text}`);
      }
    }
    expect(wrong).toEqual([]);
    const problem = await system.call('POST', '/accounts', { name: 7 });
    expect(schemas.accepts('#/components/schemas/Problem', problem.body)).toBe(true);
  });
});

describe('the API reference', () => {
  let system: System;

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());

  it('is a page whose scripts and styles come from this process alone', async () => {
    const page = await fetch(`${system.url}/docs`);
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    const policy = new Map(
      (page.headers.get('content-security-policy') ?? '').split(';').map((directive) => {
        const [name = '', ...sources] = directive.trim().split(' ');
        return [name, sources.join(' ')];
      }),
    );
    expect(policy.get('script-src')).toBe("'self'");
    expect(policy.get('default-src')).toBe("'self'");
    expect(policy.get('object-src')).toBe("'none'");
    const html = await page.text();
    expect(html).not.toMatch(/<script(?![^>]* src="\/docs\/)|\son\w+=|https?:\/\//);

    const assets = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path ?? '');
    expect(assets.length).toBe(4);
    for (const path of assets) {
      const asset = await fetch(`${system.url}${path}`);
      const type = asset.headers.get('content-type') ?? '';
      expect([path, asset.status, /^(text\/css|text\/javascript|image\/png)/.test(type)]).toEqual([
        path,
        200,
        true,
      ]);
      expect((await asset.arrayBuffer()).byteLength).toBeGreaterThan(50);
    }
  });
});

/** OpenAPI 3.0 writes `nullable` where JSON Schema writes another type. */
function ajvFor(document: ApiDocument): {
  accepts: (reference: string, value: unknown) => boolean;
  why: () => string;
} {
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
  ajv.addSchema({ $id: 'api', components: document.components });
  return {
    accepts: (reference, value) => ajv.validate({ $ref: `api${reference}` }, value),
    why: () => ajv.errorsText(),
  };
}
