import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from '@jest/globals';
import { refuseUnreadable } from './client-errors.js';

describe('what is no HTTP', () => {
  it('is answered, and its connection is closed even if the client never closes its side', async () => {
    const closed = new Promise<void>((resolve) =>
      server.once('connection', (socket) => socket.once('close', () => resolve())),
    );
    const client = connect({ port: await listening(), host: '127.0.0.1', allowHalfOpen: true });
    client.write('nonsense');
    expect(await text(client)).toMatch(/^HTTP\/1\.1 400 .*"code":"bad_request"/s);
    await closed;
    client.destroy();
    server.close();
    await once(server, 'close');
  });

  const server = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    socket.once('data', () => refuseUnreadable(new Error('unreadable'), socket));
  });
  const listening = async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
});
