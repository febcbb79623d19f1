import { text } from 'node:stream/consumers';
import { describe, expect, it } from '@jest/globals';
import { post, receivers, responseOf } from './receivers.js';

const { http, transport } = receivers();

describe('a request', () => {
  it('arrives with its path, headers and body byte for byte, and asks for no compression', async () => {
    const seen: unknown[] = [];
    const { url, port } = await http((request, response) => {
      void text(request).then((body) => {
        seen.push({ method: request.method, url: request.url, headers: request.headers, body });
        response.end('thanks');
      });
    });
    const body = '{"name":"Zoë 🎺"}';
    const result = await transport().send(post(`${url}?a=%2F&b=ü`, { body }));
    expect(responseOf(result)).toMatchObject({
      statusCode: 200,
      body: 'thanks',
      bodyEncoding: 'utf8',
      truncated: false,
    });
    expect(seen).toEqual([
      {
        method: 'POST',
        url: '/hook?a=%2F&b=%C3%BC',
        body,
        headers: {
          host: `127.0.0.1:${port}`,
          connection: 'keep-alive',
          'content-type': 'application/json',
          'content-length': String(Buffer.byteLength(body)),
          'webhook-id': 'evt_1',
        },
      },
    ]);
  });

  it('sends bytes as they are', async () => {
    const { url } = await http((request, response) => {
      request.on('data', (chunk: Buffer) => response.end(chunk.toString('hex')));
    });
    const result = await transport().send(post(url, { body: new Uint8Array([0, 255, 128]) }));
    expect(responseOf(result).body).toBe('00ff80');
  });

  it.each(['GET', 'OPTIONS'] as const)('sends %s without a body', async (method) => {
    const { url } = await http((request, response) => {
      response.end(`${request.method ?? ''} ${request.headers['content-length'] ?? 'none'}`);
    });
    expect(responseOf(await transport().send(post(url, { method, body: '' }))).body).toBe(`${method} none`);
  });

  it('is told apart as our own fault when it cannot be sent as HTTP', async () => {
    const { url, connections } = await http((_request, response) => response.end());
    const ours = { name: 'TransportFault' };
    await expect(transport().send(post(url, { headers: { 'x-bad': 'a\r\nb: c' } }))).rejects.toMatchObject(
      ours,
    );
    await expect(transport().send(post(url, { headers: { host: 'other.example' } }))).rejects.toMatchObject(
      ours,
    );
    await expect(transport().send(post(url, { timeoutMs: 0 }))).rejects.toMatchObject(ours);
    expect(connections).toHaveLength(0);
  });
});
