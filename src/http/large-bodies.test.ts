import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import Fastify, { type FastifyError, type FastifyInstance, type FastifyRequest } from 'fastify';
import type { Caller } from '../auth/caller.js';
import { toId, uuidV7 } from '../common/ids.js';
import { Problem } from '../common/problems.js';
import { readJsonBodies } from './json-body.js';
import { LARGE_BYTES, LargeBodies } from './large-bodies.js';

const MIB = 1024 * 1024;
const OPERATOR = 'operator';
const STATUS_LINE = /^HTTP\/1\.1 (\d+)/;

describe('large bodies', () => {
  let server: FastifyInstance;
  let port: number;
  const sockets = new Set<Socket>();

  beforeEach(async () => {
    server = Fastify({ bodyLimit: 200 * MIB });
    const identify = ({ headers }: FastifyRequest) =>
      headers.authorization === undefined
        ? Promise.reject(new Problem('unauthenticated', 'Nobody.'))
        : Promise.resolve({
            accountId: headers.authorization === OPERATOR ? null : headers.authorization,
          } as Caller);
    readJsonBodies(server, { path: '/events', batchBytes: MIB }, new LargeBodies(identify));
    server.setErrorHandler((error: Problem | FastifyError, _request, reply) =>
      reply.status('status' in error ? error.status : (error.statusCode ?? 500)).send(error.code),
    );
    server.post('/', ({ body }) => ({ isRead: body !== undefined }));
    server.post('/:account/events', ({ body }) => ({ isRead: body !== undefined }));
    server.post('/never', () => new Promise(() => undefined));
    server.post('/public', { config: { isPublic: true }, bodyLimit: LARGE_BYTES - 1 }, () => 'taken');
    await server.listen({ port: 0, host: '127.0.0.1' });
    port = (server.server.address() as { port: number }).port;
  });
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    await server.close();
  });

  /** Sends the head of a request, and of its body only what is given. */
  function send(headers: Record<string, string | number>, sent = '', path = '/') {
    const socket = connect(port, '127.0.0.1');
    sockets.add(socket);
    const lines = Object.entries({ host: 'a', 'content-type': 'application/json', ...headers });
    socket.write(
      `POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${sent}`,
    );
    const status = once(socket, 'data').then(([data]) => Number(STATUS_LINE.exec(String(data))?.[1]));
    return { socket, status };
  }
  const json = (bytes: number) => `"${'x'.repeat(bytes - 2)}"`;
  const declared = (bytes: number, authorization: string, path?: string) =>
    send({ 'content-length': bytes, authorization }, '"', path);
  /** A body is under way once its request is answered by nothing but its own end: whoever came after it has been. */
  const isRefused = async (request: ReturnType<typeof send>): Promise<boolean> =>
    Promise.race([request.status.then((status) => status === 503), quiet()]);
  const quiet = async () => {
    for (let turn = 0; turn < 20; turn += 1) await send({ 'content-length': 2 }, '""').status;
    return false;
  };

  it.each([
    ['whose length is told', { 'content-length': LARGE_BYTES }, 401],
    ['whose length is not told', { 'transfer-encoding': 'chunked' }, 401],
    ['that no route takes', { 'content-length': LARGE_BYTES }, 404, '/nowhere'],
    ['to a public route', { 'content-length': LARGE_BYTES }, 413, '/public'],
    ['too large for any', { 'content-length': 201 * MIB, authorization: 'a' }, 413],
  ])('%s: refused before any of it has come', async (_, headers, status, path = '/') => {
    expect(await send(headers as Record<string, string | number>, '', path).status).toBe(status);
  });

  it('are received of those who are known', async () => {
    const { status } = send({ 'content-length': LARGE_BYTES, authorization: 'a' }, json(LARGE_BYTES));
    expect(await status).toBe(200);
  });

  it('small ones are received of anybody', async () => {
    const bytes = LARGE_BYTES - 1;
    expect(await send({ 'content-length': bytes }, json(bytes)).status).toBe(200);
    expect(await send({ 'content-length': bytes }, json(bytes), '/public').status).toBe(200);
  });

  it('share the room for them while they arrive, by account', async () => {
    const first = declared(100 * MIB, 'a');
    expect(await isRefused(first)).toBe(false);
    expect(await isRefused(declared(100 * MIB, 'a'))).toBe(false);
    expect(await isRefused(declared(MIB, 'a'))).toBe(true);
    expect(await isRefused(declared(MIB, 'b'))).toBe(false);
    // What is given up on the way leaves its room.
    first.socket.destroy();
    while (await isRefused(declared(MIB, 'a'))) await quiet();
  });

  it('count for their account whoever sends them', async () => {
    const account = uuidV7(0);
    for (let bodies = 0; bodies < 2; bodies += 1)
      expect(await isRefused(declared(100 * MIB, account))).toBe(false);
    const byOperator = (of: string) => declared(MIB, OPERATOR, `/${toId('account', of)}/events`);
    expect(await isRefused(byOperator(account))).toBe(true);
    expect(await isRefused(byOperator(uuidV7(0)))).toBe(false);
  });

  it('leave their room when a connection ends whose earlier request is not answered', async () => {
    const head = (path: string, bytes: number) =>
      `POST ${path} HTTP/1.1\r\nhost: a\r\nauthorization: a\r\ncontent-type: application/json\r\ncontent-length: ${bytes}\r\n\r\n`;
    const { socket } = send({ 'content-length': 2 }, `""${head('/', 200 * MIB)}"`, '/never');
    while (!(await isRefused(declared(100 * MIB, 'a')))) await quiet();
    socket.destroy();
    while (await isRefused(declared(100 * MIB, 'a'))) await quiet();
  });
});
