import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import Fastify, { type FastifyInstance } from 'fastify';
import { readJsonBodies } from './json-body.js';

const LARGE = JSON.stringify({ text: 'x'.repeat(16 * 1024) });

describe('large bodies', () => {
  let server: FastifyInstance;
  let url: string;

  beforeEach(async () => {
    server = Fastify();
    readJsonBodies(server, { path: '/events', batchBytes: 1024 * 1024 });
    server.post('/', ({ body }) => ({ isRead: body !== undefined }));
    url = await server.listen({ port: 0, host: '127.0.0.1' });
  });
  afterEach(() => server.close());

  const post = (headers: Record<string, string>) =>
    fetch(url, { method: 'POST', body: LARGE, headers: { 'content-type': 'application/json', ...headers } });
  const known = { authorization: 'Bearer something' };

  it('are not read for whoever shows nothing to be known by', async () => {
    expect(await (await post({})).json()).toEqual({ isRead: false });
    expect(await (await post(known)).json()).toEqual({ isRead: true });
  });
});
