import { describe, expect, it } from '@jest/globals';
import { failureOf, post, receivers } from './receivers.js';

const { tcp, transport } = receivers();
const answering = (bytes: string) => tcp((socket) => socket.end(bytes));

describe('what is no HTTP response', () => {
  it.each([
    ['a greeting of a mail server', '220 mail.example.com ESMTP\r\n'],
    ['a status line without a status', 'HTTP/1.1 OK\r\n\r\n'],
    ['another version of HTTP', 'HTTP/9.9 200 OK\r\n\r\n'],
    ['a header with a NUL', 'HTTP/1.1 200 OK\r\nx-a: a\0b\r\n\r\n'],
    ['a header without a name', 'HTTP/1.1 200 OK\r\n: b\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    ['a length that is no number', 'HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n'],
    [
      'an upgrade nobody asked for',
      'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
    ],
    ['a 100 nobody asked for', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n'],
    ['random bytes', '\x16\x03\x01\x02\x00\x01\x00'],
  ])('is recorded as malformed: %s', async (_what, bytes) => {
    const { url } = await answering(bytes);
    const failure = failureOf(await transport().send(post(url)));
    expect(failure).toMatchObject({ code: 'response_malformed', kind: 'transient' });
    expect(failure.detail).toMatch(/\.$/);
  });

  it('is recorded as malformed, with its status, when a chunk is broken', async () => {
    const { url } = await answering('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n');
    expect(failureOf(await transport().send(post(url)))).toMatchObject({
      code: 'response_malformed',
      response: { statusCode: 200, body: 'ok' },
    });
  });

  it.each([
    ['a body shorter than its length', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok'],
    ['chunks without the last one', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n'],
  ])('is recorded as incomplete, with its status: %s', async (_what, bytes) => {
    const { url } = await answering(bytes);
    expect(failureOf(await transport().send(post(url)))).toMatchObject({
      code: 'response_incomplete',
      kind: 'transient',
      response: { statusCode: 200, body: 'ok' },
    });
  });

  it('is cut off when its headers exceed 16 KiB, in one field or in many', async () => {
    for (const headers of [`x-a: ${'a'.repeat(17_000)}\r\n`, 'x-a: 123456789\r\n'.repeat(1500)]) {
      const { url } = await answering(`HTTP/1.1 200 OK\r\n${headers}\r\n`);
      expect(failureOf(await transport().send(post(url)))).toMatchObject({
        code: 'response_headers_too_large',
      });
    }
  });

  it('is cut off when its headers never end', async () => {
    const { url } = await tcp((socket) => {
      socket.write('HTTP/1.1 200 OK\r\n');
      const more = () => {
        while (!socket.destroyed && socket.write('x-more: and more of it\r\n'.repeat(100)));
      };
      socket.on('drain', more);
      more();
    });
    expect(failureOf(await transport().send(post(url)))).toMatchObject({
      code: 'response_headers_too_large',
    });
  });
});
