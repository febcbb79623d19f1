import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { failureOf, post, receivers, responseOf } from './receivers.js';

const { http, tcp, listen, transport } = receivers();

describe('a connection', () => {
  it('that is refused is told so', async () => {
    const { url, stop } = await http((_request, response) => response.end());
    await stop();
    expect(failureOf(await transport().send(post(url)))).toMatchObject({
      code: 'connect_refused',
      kind: 'transient',
    });
  });

  it('that is reset before an answer is told so', async () => {
    const { url, connections } = await tcp((socket) => socket.resetAndDestroy());
    expect(failureOf(await transport().send(post(url)))).toMatchObject({
      code: 'connection_reset',
      kind: 'transient',
    });
    expect(connections).toHaveLength(1);
  });

  it('that is closed before an answer is told so', async () => {
    const { url, connections } = await tcp((socket) => socket.end());
    expect(failureOf(await transport().send(post(url)))).toMatchObject({ code: 'connection_closed' });
    expect(connections).toHaveLength(1);
  });

  it('over which TLS never comes about is given up after the connect time-out', async () => {
    const { port } = await listen(createServer(() => undefined));
    const result = await transport({ connectTimeoutMs: 150 }).send(post(`https://127.0.0.1:${port}/`));
    expect(failureOf(result)).toMatchObject({
      code: 'connect_timeout',
      detail: 'The TLS handshake was not finished within 150 ms.',
    });
  });

  it('is given up at the deadline when that comes first', async () => {
    const { port } = await listen(createServer(() => undefined));
    const result = await transport().send(post(`https://127.0.0.1:${port}/`, { timeoutMs: 150 }));
    expect(failureOf(result)).toMatchObject({
      code: 'connect_timeout',
      detail: expect.stringMatching(/^No connection came about within \d+ ms\.$/),
    });
  });

  it('is tried with each address of a name in turn', async () => {
    const { port } = await http((_request, response) => response.end('second'));
    // Nothing listens on 127.0.0.2, nor on ::1 at this port.
    const lookup = () => Promise.resolve(['127.0.0.2', '::1', '127.0.0.1']);
    const result = await transport({ lookup }).send(post(`http://receiver.example:${port}/`));
    expect(responseOf(result).body).toBe('second');
  });

  it('is refused when every address of a name refuses it', async () => {
    const { port, stop } = await http((_request, response) => response.end());
    await stop();
    const lookup = () => Promise.resolve(['127.0.0.1', '127.0.0.2', '::1']);
    const result = await transport({ lookup }).send(post(`http://receiver.example:${port}/`));
    expect(failureOf(result).code).toBe('connect_refused');
  });

  it('is there for each request that is under way: none waits for the answers to others', async () => {
    let open = 0;
    let most = 0;
    const { url, server } = await tcp(() => undefined);
    server.on('connection', (socket: Socket) => {
      most = Math.max(most, ++open);
      socket.once('close', () => open--);
    });
    const sender = transport();
    const results = await Promise.all(
      Array.from({ length: 200 }, () => sender.send(post(url, { timeoutMs: 1000 }))),
    );
    const codes = results.map((result) => failureOf(result).code);
    expect(codes.filter((code) => code === 'response_timeout')).toHaveLength(200);
    expect(most).toBe(200);
  });
});
