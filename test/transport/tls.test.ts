import { createServer } from 'node:https';
import type { ServerOptions } from 'node:https';
import { runInThisContext } from 'node:vm';
import { afterAll, expect, it } from '@jest/globals';
import { Authority, describeWithOpenssl, selfSigned } from '../support/authority.js';
import { connectionIsBack, failureOf, post, receivers, responseOf } from './receivers.js';

const { http, listen, transport } = receivers();

const HOST = 'hooks.example.com';
const lookup = () => Promise.resolve(['127.0.0.1']);

describeWithOpenssl('TLS', () => {
  const authority = Authority.make();
  const ownCertificate = selfSigned(`/CN=${HOST}`, `subjectAltName=DNS:${HOST}`);
  afterAll(() => authority.remove());

  async function receiverWith(options: ServerOptions) {
    const seen: string[] = [];
    const server = createServer(options, (_request, response) => response.end('private'));
    server.on('secureConnection', (socket) => {
      seen.push(
        `${socket.servername === false ? 'no name' : socket.servername} ${socket.getProtocol() ?? ''}`,
      );
    });
    const { port, connections } = await listen(server, 'https');
    return { port, seen, connections, url: `https://${HOST}:${port}/` };
  }
  const sender = () => transport({ lookup, ca: authority.ca });

  it('is verified, names the host, and keeps its connections', async () => {
    const { url, seen } = await receiverWith(authority.issue(`DNS:${HOST}`));
    const one = sender();
    for (let i = 0; i < 2; i++) {
      expect(responseOf(await one.send(post(url))).body).toBe('private');
      await connectionIsBack();
    }
    expect(seen).toEqual([`${HOST} TLSv1.3`]);
  });

  it('is verified for an address by the addresses in its certificate', async () => {
    const named = await receiverWith(authority.issue('IP:127.0.0.1'));
    expect(responseOf(await sender().send(post(`https://127.0.0.1:${named.port}/`))).body).toBe('private');
    expect(named.seen).toEqual(['no name TLSv1.3']);
    const other = await receiverWith(authority.issue(`DNS:${HOST}`));
    expect(failureOf(await sender().send(post(`https://127.0.0.1:${other.port}/`))).code).toBe(
      'tls_host_mismatch',
    );
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('is spoken as %s', async (version) => {
    const { url, seen } = await receiverWith({
      ...authority.issue(`DNS:${HOST}`),
      minVersion: version,
      maxVersion: version,
    });
    responseOf(await sender().send(post(url)));
    expect(seen).toEqual([`${HOST} ${version}`]);
  });

  it.each([
    ['tls_untrusted', 'signed by itself', () => ownCertificate],
    ['tls_host_mismatch', 'for another host', () => authority.issue('DNS:other.example.com')],
    ['tls_expired', 'past its end', () => authority.issue(`DNS:${HOST}`, { until: '20200201000000Z' })],
    [
      'tls_expired',
      'before its beginning',
      () => authority.issue(`DNS:${HOST}`, { from: '20900101000000Z' }),
    ],
  ])('answers %s to a certificate %s, and no request is sent', async (code, _what, certificate) => {
    let requests = 0;
    const server = createServer(certificate(), (_request, response) => {
      requests++;
      response.end();
    });
    const { port } = await listen(server, 'https');
    const result = await sender().send(post(`https://${HOST}:${port}/`));
    expect(failureOf(result)).toMatchObject({ code, kind: 'transient' });
    expect(requests).toBe(0);
  });

  it('is verified although the environment switches verification off for the process', async () => {
    const { url } = await receiverWith(ownCertificate);
    // Jest hands tests a copy of process.env, which node:tls does not look at.
    const environment = runInThisContext('process.env') as NodeJS.ProcessEnv;
    environment.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    try {
      expect(failureOf(await sender().send(post(url))).code).toBe('tls_untrusted');
    } finally {
      delete environment.NODE_TLS_REJECT_UNAUTHORIZED;
    }
  });

  it('is not spoken below 1.2', async () => {
    const { url } = await receiverWith({
      ...authority.issue(`DNS:${HOST}`),
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    expect(failureOf(await sender().send(post(url))).code).toBe('tls_handshake_failed');
  });

  it.each([
    ['TLSv1.2', /^tls_handshake_failed$/],
    // The server finds out after the handshake, and its complaint races with the end of the connection.
    ['TLSv1.3', /^(tls_client_certificate_refused|connection_closed|connection_reset)$/],
  ] as const)('fails over %s where the server asks for a certificate of ours', async (version, code) => {
    const { url } = await receiverWith({
      ...authority.issue(`DNS:${HOST}`),
      ca: authority.ca,
      requestCert: true,
      rejectUnauthorized: true,
      maxVersion: version,
    });
    expect(failureOf(await sender().send(post(url))).code).toMatch(code);
  });

  it('fails where a server speaks plain HTTP', async () => {
    const { port } = await http((_request, response) => response.end());
    expect(failureOf(await sender().send(post(`https://${HOST}:${port}/`))).code).toBe(
      'tls_handshake_failed',
    );
  });
});
