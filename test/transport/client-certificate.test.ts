import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { ServerOptions } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import type { TlsCredentials } from '../../src/transport/types.js';
import { Authority, describeWithOpenssl, type Pair, selfSigned } from '../support/authority.js';
import { connectionIsBack, failureOf, post, receivers, responseOf } from './receivers.js';

const { listen, transport } = receivers();
const HOST = 'hooks.example.com';
const lookup = () => Promise.resolve(['127.0.0.1']);

describeWithOpenssl('a client certificate', () => {
  const authority = Authority.make();
  const other = Authority.make('/CN=Other authority');
  afterAll(() => {
    authority.remove();
    other.remove();
  });
  const server = authority.issue(`DNS:${HOST}`);
  const client = (name: string, by = authority, until?: string) =>
    by.issue(`DNS:${name}`, { subject: `/CN=${name}`, ...(until === undefined ? {} : { until }) });
  const seven = client('seven');
  const eight = client('eight');

  /** A server that wants a certificate of the authority, and tells whose it was and on which connection. */
  async function wanting(options: ServerOptions = {}) {
    const numbers = new Map<unknown, number>();
    const listening = createServer(
      { ...server, ca: authority.ca, requestCert: true, rejectUnauthorized: true, ...options },
      (request, response) => {
        const socket = request.socket as TLSSocket;
        if (!numbers.has(socket)) numbers.set(socket, numbers.size + 1);
        const peer = socket.getPeerCertificate() as { subject?: { CN: string } };
        response.end(`${peer.subject?.CN ?? 'nobody'} ${numbers.get(socket) ?? 0}`);
      },
    );
    const { port } = await listen(listening, 'https');
    return { url: `https://${HOST}:${port}/` };
  }
  const servers: ChildProcess[] = [];
  afterEach(async () => {
    for (const each of servers.splice(0)) {
      each.kill();
      await once(each, 'exit');
    }
  });
  /** Refuses as OpenSSL does, with an alert; node:tls closes without one. */
  function opensslServer(version: string): Promise<string> {
    const [cert, key, ca] = [
      authority.keep('server.pem', server.cert),
      authority.keep('server.key', server.key),
      authority.keep('trusted.pem', authority.ca),
    ];
    const child = spawn(
      'openssl',
      [
        's_server',
        '-accept',
        '127.0.0.1:0',
        version,
        '-www',
        '-Verify',
        '3',
        '-verify_return_error',
        '-cert',
        cert,
        '-key',
        key,
        '-CAfile',
        ca,
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    servers.push(child);
    let said = '';
    // Read to the end: a server whose words nobody takes is ended by SIGPIPE.
    return new Promise((resolve, reject) => {
      child.stdout.on('data', (chunk) => {
        const [, port] = /ACCEPT .*:(\d+)/.exec((said += String(chunk))) ?? [];
        if (port !== undefined) resolve(`https://${HOST}:${port}/`);
      });
      child.once('exit', () => reject(new Error(`no server: ${said}`)));
    });
  }
  const shown = ({ key, cert }: Pair, name: string): TlsCredentials => ({
    key: name,
    certificate: cert,
    privateKey: key,
  });
  const sender = () => transport({ lookup, ca: authority.ca });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'is shown to a server that wants one, over %s',
    async (version) => {
      const { url } = await wanting({ minVersion: version, maxVersion: version });
      const result = await sender().send(post(url, { tls: shown(seven, 'a') }));
      expect(responseOf(result).body).toBe('seven 1');
    },
  );

  it('is shown with the chain that leads to its authority', async () => {
    const intermediate = authority.intermediate();
    try {
      const { key, cert } = client('below', intermediate);
      const { url } = await wanting();
      const whole = shown({ key, cert: `${cert}${intermediate.ca}` }, 'a');
      expect(responseOf(await sender().send(post(url, { tls: whole }))).body).toBe('below 1');
      const strict = await opensslServer('-tls1_2');
      expect(failureOf(await sender().send(post(strict, { tls: shown({ key, cert }, 'b') }))).code).toBe(
        'tls_client_certificate_refused',
      );
    } finally {
      intermediate.remove();
    }
  });

  it('is not shown to a server that wants none', async () => {
    const { url } = await wanting({ requestCert: false });
    expect(responseOf(await sender().send(post(url, { tls: shown(seven, 'a') }))).body).toBe('nobody 1');
  });

  describe.each(['1_2', '1_3'])('over TLS %s', (version) => {
    it.each([
      ['of another authority', () => client('stranger', other)],
      ['that has expired', () => client('late', authority, '20200201000000Z')],
      ['signed by itself', () => selfSigned('/CN=self', 'subjectAltName=DNS:self')],
    ])('%s is refused', async (_what, make) => {
      const url = await opensslServer(`-tls${version}`);
      const result = await sender().send(post(url, { tls: shown(make(), 'a') }));
      expect(failureOf(result)).toMatchObject({ code: 'tls_client_certificate_refused', kind: 'transient' });
    });

    it('is missed by a server that wants one', async () => {
      const result = await sender().send(post(await opensslServer(`-tls${version}`)));
      expect(failureOf(result).code).toBe(
        // TLS 1.2 has no alert that says so (RFC 5246 §7.4.6).
        version === '1_2' ? 'tls_handshake_failed' : 'tls_client_certificate_refused',
      );
    });
  });

  it('is refused by a server that says nothing and closes', async () => {
    const { url } = await wanting({ maxVersion: 'TLSv1.2' });
    const wrong = shown(client('stranger', other), 'a');
    expect(failureOf(await sender().send(post(url, { tls: wrong }))).code).toBe('tls_handshake_failed');
  });

  it('is shown on connections of its own: nobody sends through those of another', async () => {
    const { url } = await wanting();
    const one = sender();
    const send = async (credentials?: TlsCredentials) => {
      const result = await one.send(post(url, credentials && { tls: credentials }));
      await connectionIsBack();
      return result;
    };
    const [a, b] = [shown(seven, 'a'), shown(eight, 'b')];
    const bodies: string[] = [];
    for (const credentials of [a, b, a, b]) bodies.push(responseOf(await send(credentials)).body);
    expect(bodies).toEqual(['seven 1', 'eight 2', 'seven 1', 'eight 2']);
    expect((await send()).ok).toBe(false);
    // The same certificate under another name is another's.
    expect(responseOf(await send(shown(seven, 'c'))).body).toBe('seven 3');
    // Many at once: each on a connection that its own certificate opened.
    const many = await Promise.all(
      Array.from({ length: 20 }, (_, index) => one.send(post(url, { tls: index % 2 === 0 ? a : b }))),
    );
    expect(many.map((result) => responseOf(result).body.split(' ')[0])).toEqual(
      Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? 'seven' : 'eight')),
    );
  });

  it('that cannot be read is told as such, and nothing is sent', async () => {
    const { url } = await wanting();
    const broken = { key: 'a', certificate: seven.cert, privateKey: eight.key };
    expect(failureOf(await sender().send(post(url, { tls: broken }))).code).toBe('tls_credentials_unusable');
  });
});

describeWithOpenssl('an authority of an endpoint’s own', () => {
  const authority = Authority.make();
  const other = Authority.make('/CN=Other authority');
  afterAll(() => {
    authority.remove();
    other.remove();
  });
  const trusting = (ca: string | string[], key = 'a'): TlsCredentials => ({ key, ca });

  async function receiverWith(options: ServerOptions) {
    let requests = 0;
    const listening = createServer(options, (_request, response) => {
      requests++;
      response.end('private');
    });
    const { port, connections } = await listen(listening, 'https');
    return { url: `https://${HOST}:${port}/`, connections, requests: () => requests };
  }

  it('is trusted instead of those that the transport trusts', async () => {
    const { url } = await receiverWith(authority.issue(`DNS:${HOST}`));
    const public_ = transport({ lookup });
    expect(failureOf(await public_.send(post(url))).code).toBe('tls_untrusted');
    expect(responseOf(await public_.send(post(url, { tls: trusting(authority.ca) }))).body).toBe('private');
    const both = trusting([other.ca, authority.ca], 'both');
    expect(responseOf(await public_.send(post(url, { tls: both }))).body).toBe('private');
    const trustsIt = transport({ lookup, ca: authority.ca });
    expect(failureOf(await trustsIt.send(post(url, { tls: trusting(other.ca) }))).code).toBe('tls_untrusted');
  });

  it('vouches for no connection of those who do not trust it', async () => {
    const { url, connections, requests } = await receiverWith(authority.issue(`DNS:${HOST}`));
    const one = transport({ lookup });
    responseOf(await one.send(post(url, { tls: trusting(authority.ca) })));
    await connectionIsBack();
    expect(failureOf(await one.send(post(url))).code).toBe('tls_untrusted');
    expect(failureOf(await one.send(post(url, { tls: trusting(other.ca, 'b') }))).code).toBe('tls_untrusted');
    expect(connections).toHaveLength(3);
    expect(requests()).toBe(1);
  });

  it.each([
    ['tls_host_mismatch', 'for another host', () => authority.issue('DNS:other.example.com')],
    ['tls_expired', 'past its end', () => authority.issue(`DNS:${HOST}`, { until: '20200201000000Z' })],
    ['tls_untrusted', 'signed by itself', () => selfSigned(`/CN=${HOST}`, `subjectAltName=DNS:${HOST}`)],
    [
      'tls_handshake_failed',
      'over TLS 1.1',
      () => ({
        ...authority.issue(`DNS:${HOST}`),
        minVersion: 'TLSv1',
        maxVersion: 'TLSv1.1',
        ciphers: 'DEFAULT@SECLEVEL=0',
      }),
    ],
  ] as [string, string, () => ServerOptions][])(
    'does not excuse a server with a certificate (%s) %s',
    async (code, _what, options) => {
      const { url, requests } = await receiverWith(options());
      const result = await transport({ lookup }).send(post(url, { tls: trusting(authority.ca) }));
      expect(failureOf(result)).toMatchObject({ code, kind: 'transient' });
      expect(requests()).toBe(0);
    },
  );
});
