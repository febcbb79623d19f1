import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:https';
import type { ServerOptions } from 'node:https';
import { runInThisContext } from 'node:vm';
import { afterAll, describe, expect, it } from '@jest/globals';
import { connectionIsBack, failureOf, post, receivers, responseOf } from './receivers.js';

const { http, listen, transport } = receivers();
const openssl = hasOpenssl();
const folder = openssl ? mkdtempSync(join(tmpdir(), 'posthorn-tls-')) : '';
afterAll(() => {
  if (openssl) rmSync(folder, { recursive: true });
});

const HOST = 'hooks.example.com';
const lookup = () => Promise.resolve(['127.0.0.1']);

(openssl ? describe : describeNotRun)('TLS', () => {
  const authority = openssl ? makeAuthority() : { ca: '', issue: () => ({}), selfSigned: {} };

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
    ['tls_untrusted', 'signed by itself', () => authority.selfSigned],
    ['tls_host_mismatch', 'for another host', () => authority.issue('DNS:other.example.com')],
    [
      'tls_expired',
      'past its end',
      () => authority.issue(`DNS:${HOST}`, '20200101000000Z', '20200201000000Z'),
    ],
    [
      'tls_expired',
      'before its beginning',
      () => authority.issue(`DNS:${HOST}`, '20900101000000Z', '20900201000000Z'),
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
    const { url } = await receiverWith(authority.selfSigned);
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
    ['TLSv1.3', /^(tls_handshake_failed|connection_closed|connection_reset)$/],
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

/** Certificates by the openssl command: node:crypto can make keys, but no certificates. */
function makeAuthority() {
  const file = (name: string) => join(folder, name);
  const run = (...args: string[]) =>
    execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const selfSigned = (name: string, subject: string, extension: string) =>
    run(
      'req',
      '-x509',
      ...newKey,
      '-days',
      '2',
      '-subj',
      subject,
      '-addext',
      extension,
      '-keyout',
      file(`${name}.key`),
      '-out',
      file(`${name}.pem`),
    );
  const pair = (name: string) => ({
    key: readFileSync(file(`${name}.key`)),
    cert: readFileSync(file(`${name}.pem`)),
  });

  selfSigned('ca', '/CN=Test authority', 'keyUsage=keyCertSign,cRLSign');
  selfSigned('self', `/CN=${HOST}`, `subjectAltName=DNS:${HOST}`);
  writeFileSync(file('index.txt'), '');
  writeFileSync(file('serial'), '01');
  let issued = 0;
  return {
    ca: readFileSync(file('ca.pem'), 'utf8'),
    selfSigned: pair('self'),
    /** @param from as ASN.1 has times: `20200101000000Z` */
    issue: (names: string, from = '20200101000000Z', until = '20991231000000Z') => {
      const name = `leaf${++issued}`;
      const settings = `[ca]\ndefault_ca=this\n[this]\ndatabase=${file('index.txt')}\nserial=${file('serial')}\nnew_certs_dir=${folder}\ndefault_md=sha256\npolicy=any\nunique_subject=no\nx509_extensions=leaf\n[any]\ncommonName=supplied\n[leaf]\nsubjectAltName=${names}\n`;
      writeFileSync(file(`${name}.cnf`), settings);
      run(
        'req',
        '-new',
        ...newKey,
        '-subj',
        '/CN=leaf',
        '-keyout',
        file(`${name}.key`),
        '-out',
        file(`${name}.csr`),
      );
      run(
        'ca',
        '-batch',
        '-notext',
        '-config',
        file(`${name}.cnf`),
        '-cert',
        file('ca.pem'),
        '-keyfile',
        file('ca.key'),
        '-in',
        file(`${name}.csr`),
        '-out',
        file(`${name}.pem`),
        '-startdate',
        from,
        '-enddate',
        until,
      );
      return pair(name);
    },
  };
}

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** In place of the tests above, one that says so. */
function describeNotRun(what: string): void {
  describe(what, () => {
    it('NOT RUN: the openssl command, which makes the certificates, is not installed', () => {
      expect(openssl).toBe(false);
    });
  });
}
