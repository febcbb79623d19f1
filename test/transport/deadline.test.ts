import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from '@jest/globals';
import { failureOf, post, receivers } from './receivers.js';

const { http, tcp, transport } = receivers();
const timeoutMs = 300;

/** Writes a piece again and again, faster than any idle time-out. */
function drip(
  socket: { write: (piece: string) => boolean; once: (event: 'close', end: () => void) => unknown },
  piece: string,
) {
  const timer = setInterval(() => socket.write(piece), 20);
  socket.once('close', () => clearInterval(timer));
}

describe('the deadline', () => {
  it('covers a receiver that never answers', async () => {
    const { url, connections } = await tcp(() => undefined);
    const result = await transport().send(post(url, { timeoutMs }));
    expect(failureOf(result)).toMatchObject({ code: 'response_timeout', kind: 'transient' });
    expect(failureOf(result).response).toBeUndefined();
    expect(result.durationMs).toBeGreaterThanOrEqual(timeoutMs - 5);
    expect(connections).toHaveLength(1);
  });

  it('covers headers that drip', async () => {
    const { url } = await tcp((socket) => {
      socket.write('HTTP/1.1 200 OK\r\n');
      drip(socket, 'x-drip: 1\r\n');
    });
    const failure = failureOf(await transport().send(post(url, { timeoutMs })));
    expect(failure.code).toBe('response_timeout');
    expect(failure.response).toBeUndefined();
  });

  it('covers informational responses that never end', async () => {
    const { url } = await tcp((socket) => drip(socket, 'HTTP/1.1 102 Processing\r\n\r\n'));
    expect(failureOf(await transport().send(post(url, { timeoutMs }))).code).toBe('response_timeout');
  });

  it('covers a body that drips, and what came of it is kept', async () => {
    const { url } = await tcp((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-a: 1\r\n\r\n');
      drip(socket, '1\r\nz\r\n');
    });
    const failure = failureOf(await transport().send(post(url, { timeoutMs })));
    expect(failure).toMatchObject({
      code: 'response_body_timeout',
      kind: 'transient',
      response: { statusCode: 200, headers: { 'x-a': '1' }, bodyEncoding: 'utf8', truncated: false },
    });
    expect(failure.response?.body).toMatch(/^z+$/);
  });

  it('covers a name server that never answers', async () => {
    const lookup = () => new Promise<string[]>(() => undefined);
    const result = await transport({ lookup }).send(post('https://hooks.example.com/', { timeoutMs }));
    expect(failureOf(result)).toMatchObject({ code: 'dns_failed', kind: 'transient' });
  });

  it('counts from the first moment, so that time spent on the name is gone for the answer', async () => {
    // Either alone would be in time.
    const { port } = await http((_request, response) => void setTimeout(() => response.end(), 350));
    const lookup = () => new Promise<string[]>((resolve) => setTimeout(() => resolve(['127.0.0.1']), 250));
    const result = await transport({ lookup }).send(
      post(`http://hooks.example.com:${port}/`, { timeoutMs: 500 }),
    );
    expect(failureOf(result).code).toBe('response_timeout');
  });

  it('frees the connection of a receiver that missed it', async () => {
    const { url, connections } = await tcp(() => undefined);
    const closed = new Promise((resolve) => {
      void transport()
        .send(post(url, { timeoutMs }))
        .then(() => connections[0]?.once('close', resolve));
    });
    await closed;
  });

  it('costs a receiver that missed it one connection', async () => {
    const { url, connections } = await tcp(() => undefined);
    const { url: other } = await http((_request, response) => response.end());
    const sender = transport();
    expect(failureOf(await sender.send(post(url, { timeoutMs }))).code).toBe('response_timeout');
    // Whatever would have been opened for it has been by the time that this one is answered.
    expect((await sender.send(post(other))).ok).toBe(true);
    expect(connections).toHaveLength(1);
  });

  it('does not count against a receiver whose answer was there while this process stood still', async () => {
    const stillMs = 3 * timeoutMs;
    // In a thread of its own, which goes on meanwhile.
    const receiver = new Worker(
      `const { createServer } = require('node:http');
       const { parentPort } = require('node:worker_threads');
       const server = createServer((request, response) => {
         parentPort.postMessage('asked');
         setTimeout(() => response.end(), ${timeoutMs / 3});
       }).listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`,
      { eval: true },
    );
    try {
      const [port] = (await once(receiver, 'message')) as [number];
      const sent = transport().send(post(`http://127.0.0.1:${port}/`, { timeoutMs }));
      await once(receiver, 'message');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, stillMs);
      expect(await sent).toMatchObject({ ok: true, response: { statusCode: 200 } });
    } finally {
      await receiver.terminate();
    }
  });
});
