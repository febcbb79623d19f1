import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { describeCloudEvents } from '../cloud-events/describe-cloud-events.js';
import { VERSION } from '../common/version.js';

/** The API's document, made from the schemas that validate it. */
export function describeApi(app: INestApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Posthorn')
    .setDescription(
      'Webhook delivery for providers: publish events, and Posthorn signs, sends and retries them.',
    )
    .setVersion(VERSION)
    .setLicense('MIT', 'https://opensource.org/license/mit')
    .addBearerAuth(
      {
        type: 'http',
        scheme: 'bearer',
        description: 'An API key, `phk_…`; a portal token; or a token of the configured issuer',
      },
      'key',
    )
    .build();
  const document = SwaggerModule.createDocument(app, config, {
    operationIdFactory: (controller, method) => `${controller.replace(/Controller$/, '')}.${method}`,
  });
  for (const path of Object.values(document.paths)) {
    for (const operation of [path.get, path.post, path.patch, path.put, path.delete]) {
      if (operation) mend(operation, document.components?.schemas ?? {});
    }
  }
  describeCloudEvents(document, 'Events.publish');
  allowNulls(document.components?.schemas);
  return document;
}

/** OpenAPI 3.0.3 §4.7.24: a nullable enum must list null beside its values, which the generator leaves out. */
function allowNulls(schema: unknown): void {
  if (typeof schema !== 'object' || schema === null) return;
  if ('nullable' in schema && schema.nullable === true && 'enum' in schema && Array.isArray(schema.enum)) {
    if (!schema.enum.includes(null)) schema.enum.push(null);
  }
  for (const inner of Object.values(schema)) allowNulls(inner);
}

type Operation = NonNullable<OpenAPIObject['paths'][string]['get']>;
type Schemas = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>;

/** What the generator cannot know: the media type of problems, and that a body without required fields may be left out. */
function mend(operation: Operation, schemas: Schemas): void {
  const { requestBody } = operation;
  const problem = operation.responses.default;
  if (problem && 'content' in problem) {
    const [content] = Object.values(problem.content);
    if (content) problem.content = { 'application/problem+json': content };
  }
  if (requestBody && 'content' in requestBody) {
    const schema = requestBody.content['application/json']?.schema;
    const named = schema && '$ref' in schema ? schemas[schema.$ref.split('/').at(-1) ?? ''] : schema;
    if (named && !('$ref' in named) && named.required === undefined) requestBody.required = false;
  }
}

const ASSETS = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'] as const;
const TYPES: Record<string, string> = {
  css: 'text/css',
  js: 'text/javascript',
  png: 'image/png',
  html: 'text/html',
};

/** Serves the document at `/openapi.json` and, for people, at `/docs`: from this process alone, without inline script. */
export function serveApiDocs(app: INestApplication, server: FastifyInstance): void {
  const folder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
  let document: string | undefined;
  const send = (reply: FastifyReply, name: string, content: string | Buffer) =>
    reply
      .header('content-type', `${TYPES[name.split('.').at(-1) ?? ''] ?? 'text/plain'}; charset=utf-8`)
      .send(content);
  server.get('/openapi.json', (_request, reply) => {
    document ??= JSON.stringify(describeApi(app));
    return reply.header('content-type', 'application/json; charset=utf-8').send(document);
  });
  server.get('/docs', (_request, reply) => send(reply, 'index.html', PAGE));
  server.get('/docs/start.js', (_request, reply) => send(reply, 'start.js', START));
  for (const asset of ASSETS) {
    server.get(`/docs/${asset}`, async (_request, reply) =>
      send(reply, asset, await readFile(join(folder, asset))),
    );
  }
}

const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>Posthorn API</title>
    <link rel="icon" href="/docs/favicon-32x32.png" />
    <link rel="stylesheet" href="/docs/swagger-ui.css" />
  </head>
  <body>
    <div id="api"></div>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/start.js"></script>
  </body>
</html>
`;

const START = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#api',
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: 'list',
});
`;
