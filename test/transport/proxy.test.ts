import { once } from 'node:events';
import { createServer, type ServerOptions } from 'node:https';
import { connect, createServer as createTcpServer, type Socket } from 'node:net';
import { afterAll, describe, expect, it } from '@jest/globals';

import { parseEgressNetworks, PUBLIC_ONLY } from '../../src/transport/egress-networks.js';
import { parseEgressProxy } from '../../src/transport/egress-proxy.js';
import { ProxyLine } from '../../src/transport/proxy-line.js';
import { secureContext } from '../../src/transport/secure-contexts.js';
import { tunnelConnector } from '../../src/transport/tunnel.js';
import type { TransportOptions } from '../../src/transport/transport.js';
import { answering, ConnectProxy, relay, type Tunnelling } from '../support/connect-proxy.js';
import { Authority, describeWithOpenssl, selfSigned } from '../support/authority.js';
import { connectionIsBack, failureOf, post, receivers, responseOf, UNWATCHED } from './receivers.js';

const { http, tcp, listen, transport } = receivers();
const loopback = () => Promise.resolve(['127.0.0.1']);

/** A transport whose every way leads through the proxy. */
const through = (proxy: { url: string }, options: Partial<TransportOptions> = {}) =>
  transport({ proxy: parseEgressProxy(proxy.url), lookup: loopback, ...options });
const named = (port: number) => `http://hooks.example.com:${port}/`;
const OURS = { name: 'TransportFault' };

describe('the egress proxy', () => {
  it('is asked for the address that was checked, for http: too, and carries one request after another', async () => {
    const proxy = await ConnectProxy.start();
    const { port, connections } = await http((request, response) => response.end(request.headers.host));
    const sender = through(proxy);
    for (let i = 0; i < 3; i++) {
      expect(responseOf(await sender.send(post(named(port)))).body).toBe(`hooks.example.com:${port}`);
      await connectionIsBack();
    }
    expect(proxy.asked).toEqual([`127.0.0.1:${port}`]);
    expect(proxy.credentials).toEqual([undefined]);
    expect(connections).toHaveLength(1);
  });

  it('is given its credentials, and the receiver never sees them', async () => {
    const proxy = await ConnectProxy.start();
    const { port } = await http((request, response) => response.end(JSON.stringify(request.headers)));
    const sender = transport({
      proxy: parseEgressProxy(`http://us%40er:p%3Ass@127.0.0.1:${proxy.port}`),
      lookup: loopback,
    });
    const { body } = responseOf(await sender.send(post(named(port))));
    expect(proxy.credentials).toEqual([`Basic ${Buffer.from('us@er:p:ss').toString('base64')}`]);
    expect(body).not.toContain('proxy');
  });

  it('may be given by a name', async () => {
    const proxy = await ConnectProxy.start();
    const { port } = await http((_request, response) => response.end('here'));
    const sender = through({ url: `http://localhost:${proxy.port}` });
    expect(responseOf(await sender.send(post(named(port)))).body).toBe('here');
  });

  it('changes nothing about the addresses that are refused: it is not even asked', async () => {
    const proxy = await ConnectProxy.start();
    const { port } = await http((_request, response) => response.end());
    const shut = through(proxy, { allow: PUBLIC_ONLY });
    const codes = [];
    for (const url of [
      `https://hooks.example.com:${port}/`,
      `https://127.0.0.1:${port}/`,
      `https://localhost:${port}/`,
      'https://169.254.169.254/',
    ]) {
      codes.push(failureOf(await shut.send(post(url))).code);
    }
    expect(codes).toEqual(['address_refused', 'address_refused', 'host_refused', 'address_refused']);
    expect(proxy.open).toBe(0);
  });

  it('is asked for each address of a name in turn', async () => {
    const proxy = await ConnectProxy.start();
    const { port } = await http((_request, response) => response.end('third'));
    const lookup = () => Promise.resolve(['127.0.0.2', '::1', '127.0.0.1']);
    const sender = through(proxy, { lookup });
    expect(responseOf(await sender.send(post(named(port)))).body).toBe('third');
    expect(proxy.asked).toEqual([`127.0.0.2:${port}`, `[::1]:${port}`, `127.0.0.1:${port}`]);
  });

  it('is asked for the next address when it is long in answering for one', async () => {
    const hanging: Tunnelling = (request, client) => {
      if (request.url?.startsWith('127.0.0.1:') === true) relay(request, client);
    };
    const proxy = await ConnectProxy.start(hanging);
    const { port } = await http((_request, response) => response.end('second'));
    const lookup = () => Promise.resolve(['127.0.0.2', '127.0.0.1']);
    expect(responseOf(await through(proxy, { lookup }).send(post(named(port)))).body).toBe('second');
  });

  it('that interim answers come from is waited for', async () => {
    const proxy = await ConnectProxy.start((request, client) => {
      client.write('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nx-a: 1\r\n\r\n');
      relay(request, client);
    });
    const { port } = await http((_request, response) => response.end('here'));
    expect(responseOf(await through(proxy).send(post(named(port)))).body).toBe('here');
  });

  it.each([200, 201, 299])('may answer %i with fields about a body that a tunnel has not', async (status) => {
    const proxy = await ConnectProxy.start((request, client) => {
      const upstream = connect(Number(request.url?.split(':')[1]), '127.0.0.1', () => {
        client.write(`HTTP/1.0 ${status}\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n`);
        client.pipe(upstream).pipe(client);
      });
      client.once('close', () => upstream.destroy());
    });
    const { port } = await http((_request, response) => response.end('here'));
    expect(responseOf(await through(proxy).send(post(named(port)))).body).toBe('here');
  });

  it.each([500, 502, 503, 504])('that answers %i could not reach the receiver', async (status) => {
    const proxy = await ConnectProxy.start(answering(`HTTP/1.1 ${status} Some words`));
    expect(failureOf(await through(proxy).send(post(named(4000))))).toEqual({
      code: 'proxy_connect_failed',
      kind: 'transient',
      detail: `The egress proxy answered ${status} to CONNECT.`,
    });
  });

  it.each([
    ['403', 'HTTP/1.1 403 Forbidden'],
    ["407 by Smokescreen's rules", 'HTTP/1.1 407 Request rejected by proxy\r\nX-Smokescreen-Error: denied'],
  ])('that answers %s refuses the receiver for good', async (_what, head) => {
    const proxy = await ConnectProxy.start(answering(head));
    const lookup = () => Promise.resolve(['127.0.0.2', '127.0.0.1']);
    const failure = failureOf(await through(proxy, { lookup }).send(post(named(4000))));
    expect(failure).toMatchObject({ code: 'proxy_refused', kind: 'blocked' });
    expect(proxy.asked).toHaveLength(1);
  });

  it.each([
    ['407', 'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="a"'],
    ['405', 'HTTP/1.1 405 Method Not Allowed'],
    ['429', 'HTTP/1.1 429 Too Many Requests'],
    ['301', 'HTTP/1.1 301 Moved\r\nLocation: http://elsewhere/'],
    ['101', 'HTTP/1.1 101 Switching Protocols'],
    ['garbage', 'SSH-2.0-OpenSSH_9.6'],
    ['an HTTP of its own', 'HTTP/2 200 OK'],
    ['a status of four digits', 'HTTP/1.1 2000 OK'],
    ['a header without end', `HTTP/1.1 200 OK\r\nx-a: ${'a'.repeat(20_000)}`],
    ['interim answers without end', 'HTTP/1.1 100 Continue'.concat(`\r\nx-a: ${'a'.repeat(20_000)}`)],
  ])('that answers %s has failed us, and the receiver is not charged', async (_what, head) => {
    const proxy = await ConnectProxy.start(answering(head));
    const error: unknown = await through(proxy)
      .send(post(named(4000)))
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject(OURS);
  });

  it('whose header never ends is given up after 16 KiB', async () => {
    const proxy = await ConnectProxy.start((_request, client) => {
      client.write('HTTP/1.1 200 OK\r\n');
      const more = () => {
        while (client.writable && client.write(`x-a: ${'a'.repeat(1000)}\r\n`));
      };
      client.on('drain', more);
      more();
    });
    await expect(through(proxy).send(post(named(4000)))).rejects.toMatchObject({
      message: 'The egress proxy answered with a header of more than 16384 bytes.',
    });
  });

  it.each([
    ['closes', (client) => client.end()],
    ['resets', (client) => client.resetAndDestroy()],
    ['closes in the middle of its answer', (client) => client.end('HTTP/1.1 200 OK\r\nx-a: 1\r\n')],
  ] as [string, (client: Socket) => void][])('that %s the connection has failed us', async (_how, drop) => {
    const proxy = await ConnectProxy.start((_request, client) => drop(client));
    await expect(through(proxy).send(post(named(4000)))).rejects.toMatchObject(OURS);
  });

  it('that is not there has failed us, and nothing that is told of it holds its password', async () => {
    const gone = await ConnectProxy.start();
    const url = gone.url.replace('//', '//user:hunter2@');
    await gone.stop();
    const error: unknown = await through({ url })
      .send(post(named(4000)))
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ ...OURS, message: 'The egress proxy cannot be reached.' });
    expect(String((error as Error).cause)).toContain('ECONNREFUSED');
    const told = JSON.stringify(error, Object.getOwnPropertyNames(error)) + String((error as Error).cause);
    expect(told).not.toContain('hunter2');
    expect(told).not.toContain(Buffer.from('user:hunter2').toString('base64'));
  });

  it('that says nothing to anybody has failed us, by the connect time-out and by the deadline', async () => {
    const { port } = await listen(createTcpServer(() => undefined));
    const url = `http://127.0.0.1:${port}`;
    await expect(through({ url }, { connectTimeoutMs: 700 }).send(post(named(4000)))).rejects.toMatchObject({
      ...OURS,
      message: 'The egress proxy does not answer.',
    });
    await expect(through({ url }).send(post(named(4000), { timeoutMs: 1000 }))).rejects.toMatchObject(OURS);
  });

  it('that answers everything but this CONNECT waits for the receiver, whose failure it is', async () => {
    const proxy = await ConnectProxy.start(() => undefined);
    const late = await through(proxy, { connectTimeoutMs: 1500 }).send(post(named(4000)));
    expect(failureOf(late).code).toBe('connect_timeout');
    const past = await through(proxy).send(post(named(4000), { timeoutMs: 1500 }));
    expect(failureOf(past).code).toBe('connect_timeout');
  });

  it('that closes a tunnel is taken for the receiver', async () => {
    const proxy = await ConnectProxy.start((_request, client) => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      client.once('data', () => client.end());
    });
    expect(failureOf(await through(proxy).send(post(named(4000)))).code).toBe('connection_closed');
  });

  it('costs no attempt when a kept tunnel is closed just as a request sets out on it', async () => {
    const proxy = await ConnectProxy.start();
    let answered = 0;
    const { port } = await tcp((socket) => {
      if (answered++ === 1) socket.end();
      else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
    });
    const sender = through(proxy);
    responseOf(await sender.send(post(named(port))));
    await connectionIsBack();
    responseOf(await sender.send(post(named(port))));
    expect(proxy.asked).toHaveLength(2);
  });

  it('keeps no connection open of a request that was given up', async () => {
    let ended: Promise<unknown> | undefined;
    const proxy = await ConnectProxy.start((_request, client) => {
      ended = once(client.resume(), 'end');
    });
    await through(proxy, { connectTimeoutMs: 900 }).send(post(named(4000)));
    await ended;
  });
});

describe('a tunnel', () => {
  it('is not asked for to an address that is refused, though the first two checks had let it pass', async () => {
    const proxy = await ConnectProxy.start();
    const tls = secureContext({});
    const destination = { origin: 'https://a.example', addresses: ['10.0.0.1'], onlyAllowedNetworks: false };
    const open = tunnelConnector(
      destination,
      { allow: PUBLIC_ONLY, connectTimeoutMs: 2000, tls },
      new ProxyLine(parseEgressProxy(proxy.url), tls),
      UNWATCHED,
    );
    const error = await new Promise<Error | null>((resolve) => {
      open({ hostname: 'a.example', protocol: 'https:', port: '' }, (...[failed]) => resolve(failed));
    });
    expect(error).toMatchObject({ code: 'address_refused' });
    expect(proxy.open).toBe(0);
  });
});

describe('an egress proxy that resolves names itself', () => {
  const public_ = parseEgressNetworks('');

  it('is given public names as they are, and Posthorn asks no name server', async () => {
    const proxy = await ConnectProxy.start(answering('HTTP/1.1 403 Forbidden'));
    const lookup = () => Promise.reject(new Error('asked'));
    const sender = through(proxy, { lookup, allow: public_, proxyResolves: true });
    expect(failureOf(await sender.send(post('https://Hooks.Example.com/'))).code).toBe('proxy_refused');
    expect(proxy.asked).toEqual(['hooks.example.com:443']);
  });

  it('is never asked for an address that is refused, nor for a port or a local name', async () => {
    const proxy = await ConnectProxy.start();
    const sender = through(proxy, { allow: public_, proxyResolves: true });
    const codes = [];
    for (const url of [
      'https://10.0.0.1/',
      'https://0x7f.1/',
      'https://hooks.example.com:22/',
      'https://a.internal/',
    ])
      codes.push(failureOf(await sender.send(post(url))).code);
    expect(codes).toEqual(['address_refused', 'address_refused', 'url_port_refused', 'host_refused']);
    expect(proxy.open).toBe(0);
  });

  it('is given checked addresses for http: and local names all the same', async () => {
    const proxy = await ConnectProxy.start();
    const { port } = await http((_request, response) => response.end('here'));
    const sender = through(proxy, { proxyResolves: true });
    expect(responseOf(await sender.send(post(named(port)))).body).toBe('here');
    expect(proxy.asked).toEqual([`127.0.0.1:${port}`]);
    const outside = through(proxy, { proxyResolves: true, lookup: () => Promise.resolve(['93.184.216.34']) });
    expect(failureOf(await outside.send(post(named(port)))).code).toBe('address_refused');
  });
});

const HOST = 'hooks.example.com';

describeWithOpenssl('TLS through the egress proxy', () => {
  const authority = Authority.make();
  afterAll(() => authority.remove());

  async function receiverWith(certificate: ServerOptions) {
    const names: (string | false | null)[] = [];
    const server = createServer(certificate, (_request, response) => response.end('private'));
    server.on('secureConnection', (socket) => names.push(socket.servername));
    const { port } = await listen(server, 'https');
    return { names, url: `https://${HOST}:${port}/` };
  }
  const sender = (proxy: { url: string }) => through(proxy, { ca: authority.ca });

  it.each([
    ['http', undefined],
    ['https', () => authority.issue('IP:127.0.0.1')],
  ])(
    'is the receiver’s own, inside the tunnel of an %s: proxy, and is kept',
    async (_scheme, certificate) => {
      const seen: Buffer[] = [];
      const proxy = await ConnectProxy.start((request, client) => {
        client.on('data', (chunk: Buffer) => seen.push(chunk));
        relay(request, client);
      }, certificate?.());
      const { url, names } = await receiverWith(authority.issue(`DNS:${HOST}`));
      const one = sender(proxy);
      for (let i = 0; i < 2; i++) {
        expect(responseOf(await one.send(post(url))).body).toBe('private');
        await connectionIsBack();
      }
      expect(names).toEqual([HOST]);
      expect(proxy.asked).toHaveLength(1);
      expect(Buffer.concat(seen).length).toBeGreaterThan(100);
      expect(Buffer.concat(seen).toString('latin1')).not.toContain('invoice.paid');
    },
  );

  it.each([
    ['tls_host_mismatch', () => authority.issue('IP:127.0.0.1')],
    ['tls_untrusted', () => selfSigned(`/CN=${HOST}`, `subjectAltName=DNS:${HOST}`)],
  ])('answers %s to another certificate than that of the host in the URL', async (code, certificate) => {
    const proxy = await ConnectProxy.start();
    const { url } = await receiverWith(certificate());
    expect(failureOf(await sender(proxy).send(post(url))).code).toBe(code);
  });

  it('that never comes about is the receiver’s time-out', async () => {
    const proxy = await ConnectProxy.start();
    const { port } = await listen(createTcpServer(() => undefined));
    const one = through(proxy, { ca: authority.ca, connectTimeoutMs: 600 });
    expect(failureOf(await one.send(post(`https://${HOST}:${port}/`)))).toMatchObject({
      code: 'connect_timeout',
      detail: 'The TLS handshake was not finished within 600 ms.',
    });
  });

  it('to a proxy whose certificate is for somebody else is not spoken, and no credentials are given away', async () => {
    const proxy = await ConnectProxy.start(relay, authority.issue('DNS:other.example.com'));
    const url = proxy.url.replace('//', '//user:secret@');
    await expect(sender({ url }).send(post(`https://${HOST}/`))).rejects.toMatchObject(OURS);
    expect(proxy.asked).toEqual([]);
  });
});
