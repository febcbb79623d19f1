import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import type { FastifyInstance, FastifyReply } from 'fastify';
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
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'An API key, `phk_…`' }, 'key')
    .build();
  return SwaggerModule.createDocument(app, config, {
    operationIdFactory: (controller, method) => `${controller.replace(/Controller$/, '')}.${method}`,
  });
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
