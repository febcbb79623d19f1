import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { pinnedConnector } from '../../src/transport/connector.js';
import { parseEgressNetworks, PUBLIC_ONLY } from '../../src/transport/egress-networks.js';
import { secureContext } from '../../src/transport/secure-contexts.js';
import {
  connectionIsBack,
  failureOf,
  LOOPBACK,
  post,
  receivers,
  responseOf,
  UNWATCHED,
} from './receivers.js';

const { http, listen, transport } = receivers();

describe('the way out', () => {
  it.each([
    'http://127.0.0.1:PORT/',
    'https://127.0.0.1:PORT/',
    'https://2130706433:PORT/',
    'https://[::ffff:127.0.0.1]:PORT/',
    'https://localhost:PORT/',
    'https://[::1]:PORT/',
  ])('is shut to %s unless it is opened', async (pattern) => {
    const { port, connections } = await http((_request, response) => response.end());
    const result = await transport({ allow: PUBLIC_ONLY }).send(post(pattern.replace('PORT', String(port))));
    expect(failureOf(result)).toMatchObject({ kind: 'blocked' });
    expect(connections).toHaveLength(0);
  });

  it('leads into an opened network, by address and by name, without TLS too', async () => {
    const { port } = await http((_request, response) => response.end('here'));
    const sender = transport();
    for (const host of ['127.0.0.1', 'localhost', '0x7f.1', '[::ffff:127.0.0.1]']) {
      expect([host, responseOf(await sender.send(post(`http://${host}:${port}/`))).body]).toEqual([
        host,
        'here',
      ]);
    }
  });

  it('is shut to a name from the attempt on at which one of its addresses is private', async () => {
    const { port, connections } = await http((_request, response) => response.end());
    const answers = [['127.0.0.1'], ['127.0.0.1'], ['127.0.0.1', '10.0.0.1'], ['10.0.0.1']];
    const lookup = () => Promise.resolve(answers.shift() ?? []);
    const sender = transport({ lookup });
    const url = `http://hooks.example.com:${port}/`;
    responseOf(await sender.send(post(url)));
    await connectionIsBack();
    responseOf(await sender.send(post(url)));
    for (let i = 0; i < 2; i++) {
      const failure = failureOf(await sender.send(post(url)));
      expect(failure).toEqual({
        code: 'address_refused',
        kind: 'blocked',
        detail: 'The host name leads to a private address.',
      });
    }
    expect(connections).toHaveLength(1);
  });

  it('asks for the name once an attempt and connects to that answer: a second answer would be a private one', async () => {
    const { port } = await http((_request, response) => response.end());
    let asked = 0;
    const lookup = () => Promise.resolve(asked++ === 0 ? ['127.0.0.1'] : ['10.0.0.1']);
    responseOf(await transport({ lookup }).send(post(`http://hooks.example.com:${port}/`)));
    expect(asked).toBe(1);
  });

  it('keeps no connection to an address that the name has left', async () => {
    const old = await http((_request, response) => response.end('old'));
    const addresses = ['127.0.0.1'];
    const sender = transport({ lookup: () => Promise.resolve([...addresses]) });
    const url = `http://hooks.example.com:${old.port}/`;
    expect(responseOf(await sender.send(post(url))).body).toBe('old');
    addresses[0] = '127.0.0.9';
    expect(failureOf(await sender.send(post(url))).code).toBe('connect_refused');
  });

  it('holds http: to opened networks at each attempt', async () => {
    const lookup = () => Promise.resolve(['93.184.216.34']);
    const result = await transport({ lookup }).send(post('http://hooks.example.com/'));
    expect(failureOf(result)).toMatchObject({ code: 'address_refused', kind: 'blocked' });
  });

  it.each([
    ['ENOTFOUND', 'dns_not_found'],
    ['ESERVFAIL', 'dns_failed'],
  ])('tells a name that cannot be looked up: %s', async (code, expected) => {
    const lookup = () => Promise.reject(Object.assign(new Error(code), { code }));
    const result = await transport({ lookup }).send(post('https://hooks.example.com/'));
    expect(failureOf(result)).toMatchObject({ code: expected, kind: 'transient' });
  });
});

describe('the connected socket', () => {
  const TLS = secureContext({});

  /** Connects past the first two checks, as a mistake in them would. */
  async function connectUnchecked(
    protocol: string,
    port: number,
    allow = PUBLIC_ONLY,
    addresses = ['127.0.0.1'],
  ) {
    const destination = { origin: `${protocol}//a.example:${port}`, addresses, onlyAllowedNetworks: false };
    const connect = pinnedConnector(destination, { allow, connectTimeoutMs: 2000, tls: TLS }, UNWATCHED);
    return new Promise<Error | null>((resolve) => {
      connect({ hostname: '127.0.0.1', host: 'a.example', protocol, port: String(port) }, (error, socket) => {
        socket?.destroy();
        resolve(error);
      });
    });
  }

  it.each(['http:', 'https:'])('is checked before a byte is written over %s', async (protocol) => {
    const bytes: Buffer[] = [];
    const receiver = await listen(createServer((socket) => socket.on('data', (chunk) => bytes.push(chunk))));
    const accepted = once(receiver.server, 'connection');
    expect(await connectUnchecked(protocol, receiver.port)).toMatchObject({ code: 'address_refused' });
    await accepted;
    const [socket] = receiver.connections;
    socket?.resume();
    if (socket?.closed === false) await once(socket, 'close');
    expect(bytes).toEqual([]);
  });

  it('is refused when it is none of the checked addresses, though it might be reached', async () => {
    const { port } = await listen(createServer());
    expect(await connectUnchecked('http:', port, LOOPBACK, ['127.0.0.5'])).toMatchObject({
      code: 'address_refused',
    });
    expect(await connectUnchecked('http:', port, LOOPBACK)).toBeNull();
    expect(await connectUnchecked('http:', port, parseEgressNetworks('::1/128'))).toMatchObject({
      code: 'address_refused',
    });
  });
});
