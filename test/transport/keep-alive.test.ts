import { once } from 'node:events';
import type { Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { connectionIsBack, failureOf, post, receivers, responseOf } from './receivers.js';

const { http, tcp, transport } = receivers();
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';

describe('a kept connection', () => {
  it('carries one request after another', async () => {
    const { url, connections } = await http((_request, response) => response.end());
    const sender = transport();
    for (let i = 0; i < 3; i++) {
      responseOf(await sender.send(post(url)));
      await connectionIsBack();
    }
    expect(connections).toHaveLength(1);
  });

  it('is not used again when the receiver says so', async () => {
    const { url, connections } = await http((_request, response) =>
      response.writeHead(200, { connection: 'close' }).end(),
    );
    const sender = transport();
    for (let i = 0; i < 2; i++) responseOf(await sender.send(post(url)));
    expect(connections).toHaveLength(2);
  });

  it.each([
    ['closes', (socket: Socket) => socket.end()],
    ['resets', (socket: Socket) => socket.resetAndDestroy()],
  ])('that the receiver %s just as a request sets out costs no attempt', async (_how, drop) => {
    const requests = new Map<Socket, number>();
    const { url, connections } = await tcp((socket) => {
      const count = (requests.get(socket) ?? 0) + 1;
      requests.set(socket, count);
      // The second request of a connection finds it gone.
      if (count === 1) socket.write(OK);
      else drop(socket);
    });
    const sender = transport();
    responseOf(await sender.send(post(url)));
    await connectionIsBack();
    responseOf(await sender.send(post(url)));
    expect([...requests.values()]).toEqual([2, 1]);
    expect(connections).toHaveLength(2);
  });

  it('is replaced once and no more', async () => {
    let count = 0;
    const { url } = await tcp((socket) => {
      count++;
      if (count === 1) socket.write(OK);
      else socket.end();
    });
    const sender = transport();
    responseOf(await sender.send(post(url)));
    await connectionIsBack();
    expect(failureOf(await sender.send(post(url))).code).toBe('connection_closed');
    expect(count).toBe(3);
  });

  it('that ends after the first byte of an answer costs the attempt: the request was read', async () => {
    let count = 0;
    const { url } = await tcp((socket) => {
      count++;
      if (count === 1) socket.write(OK);
      else socket.end('HTTP/1.1 2');
    });
    const sender = transport();
    responseOf(await sender.send(post(url)));
    await connectionIsBack();
    expect(failureOf(await sender.send(post(url))).code).toMatch(/^(connection_closed|response_malformed)$/);
    expect(count).toBe(2);
  });

  it('that a restarted receiver closed while idle is not noticed by anybody', async () => {
    const { url, connections } = await http((_request, response) => response.end());
    const sender = transport();
    responseOf(await sender.send(post(url)));
    const [first] = connections;
    first?.end();
    if (first?.closed === false) await once(first, 'close');
    responseOf(await sender.send(post(url)));
    expect(connections).toHaveLength(2);
  });
});
