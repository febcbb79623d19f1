import { gzipSync } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import { connectionIsBack, post, receivers, responseOf } from './receivers.js';

const { http, tcp, transport } = receivers();

describe('a response', () => {
  it.each([200, 201, 204, 400, 404, 410, 429, 500, 503])('of %i is an answer', async (statusCode) => {
    const { url } = await http((_request, response) =>
      response.writeHead(statusCode, { 'retry-after': '7' }).end(),
    );
    expect(responseOf(await transport().send(post(url)))).toMatchObject({
      statusCode,
      body: '',
      headers: { 'retry-after': '7' },
    });
  });

  it('with a redirect is an answer and is not followed', async () => {
    const elsewhere = await http((_request, response) => response.end());
    const { url, connections } = await http((_request, response) => {
      response.writeHead(307, { location: elsewhere.url }).end();
    });
    expect(responseOf(await transport().send(post(url)))).toMatchObject({
      statusCode: 307,
      headers: { location: elsewhere.url },
    });
    expect(connections).toHaveLength(1);
    expect(elsewhere.connections).toHaveLength(0);
  });

  it('is the one that follows informational ones', async () => {
    const { url } = await tcp((socket) => {
      socket.write('HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n');
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
    });
    expect(responseOf(await transport().send(post(url)))).toMatchObject({ statusCode: 200, body: 'ok' });
  });

  it('of 207 is kept whole where that was asked for, beside what is shown of it', async () => {
    const asked = { whole: { bytes: 100_000, ofStatus: 207 } };
    const answering = async (statusCode: number, body: string) => {
      const { url } = await http((_request, response) => response.writeHead(statusCode).end(body));
      return responseOf(await transport().send({ ...post(url), ...asked }));
    };
    for (const length of [0, 20_000, 100_000]) {
      const body = 'é'.repeat(length / 2);
      const { whole, body: shown, truncated } = await answering(207, body);
      expect([whole === body, shown.length, truncated]).toEqual([
        true,
        Math.min(length / 2, 8_192),
        length > 16_384,
      ]);
    }
    expect((await answering(207, 'x'.repeat(100_001))).whole).toBeUndefined();
    expect((await answering(200, 'x')).whole).toBeUndefined();
    const { url } = await http((_request, response) => response.writeHead(207).end('x'));
    expect(responseOf(await transport().send(post(url))).whole).toBeUndefined();
  });

  it('may end with its connection', async () => {
    const { url } = await tcp((socket) => socket.end('HTTP/1.0 200 OK\r\n\r\nold but well'));
    expect(responseOf(await transport().send(post(url)))).toMatchObject({
      statusCode: 200,
      body: 'old but well',
    });
  });

  it('shows its headers in lower case, repeated ones joined', async () => {
    const { url } = await tcp((socket) => {
      socket.write(
        'HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\n__proto__: x\r\nX-Latin: caf\xe9\r\ncontent-length: 0\r\n\r\n',
        'latin1',
      );
    });
    const { headers } = responseOf(await transport().send(post(url)));
    expect(Object.entries(headers)).toEqual([
      ['x-a', '1, 2'],
      ['__proto__', 'x'],
      ['x-latin', 'café'],
      ['content-length', '0'],
    ]);
  });

  it('is text when it is UTF-8, cut between characters', async () => {
    // 16 KiB end in the middle of one of these three-byte characters.
    const { url } = await http((_request, response) => response.end('€'.repeat(6000)));
    const { body, bodyEncoding, truncated } = responseOf(await transport().send(post(url)));
    expect({ body, bodyEncoding, truncated }).toEqual({
      body: '€'.repeat(Math.floor((16 * 1024) / 3)),
      bodyEncoding: 'utf8',
      truncated: true,
    });
  });

  it.each([
    ['is not UTF-8', Buffer.from([0xff, 0xfe, 0x41])],
    ['ends within a character', Buffer.from('€').subarray(0, 2)],
    ['holds NUL, which PostgreSQL cannot keep as text', Buffer.from('a\0b')],
  ])('is shown in base64 when it %s', async (_what, bytes) => {
    const { url } = await http((_request, response) => response.end(bytes));
    expect(responseOf(await transport().send(post(url)))).toMatchObject({
      body: bytes.toString('base64'),
      bodyEncoding: 'base64',
      truncated: false,
    });
  });

  it('is never decompressed', async () => {
    const bomb = gzipSync(Buffer.alloc(8 * 1024 * 1024));
    const { url } = await http((_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb),
    );
    expect(responseOf(await transport().send(post(url)))).toMatchObject({
      statusCode: 200,
      headers: { 'content-encoding': 'gzip' },
      body: bomb.toString('base64'),
      bodyEncoding: 'base64',
    });
  });

  it('is kept up to 16 KiB and read to its end when it is below 64, so that the connection stays', async () => {
    const { url, connections } = await http((_request, response) => response.end('x'.repeat(60_000)));
    const sender = transport();
    for (let i = 0; i < 2; i++) {
      const { body, truncated } = responseOf(await sender.send(post(url)));
      expect({ length: body.length, truncated }).toEqual({ length: 16 * 1024, truncated: true });
      await connectionIsBack();
    }
    expect(connections).toHaveLength(1);
  });

  it('that never ends is read for 64 KiB, then the connection is dropped', async () => {
    let dropped: Promise<number> | undefined;
    const { url } = await http((_request, response) => {
      let written = 0;
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(8192))) written += 8192;
      };
      response.on('drain', more);
      dropped = new Promise((resolve) => response.once('close', () => resolve(written)));
      more();
    });
    const response = responseOf(await transport().send(post(url)));
    expect(response).toMatchObject({ statusCode: 200, truncated: true, body: 'x'.repeat(16 * 1024) });
    // The buffers of two sockets lie between what was read and what was written.
    expect(await dropped).toBeLessThan(16 * 1024 * 1024);
  });
});
