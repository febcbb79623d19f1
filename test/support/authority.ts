import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

export interface Pair {
  key: string;
  cert: string;
}

export interface IssueOptions {
  /** As ASN.1 has times: `20200101000000Z`. */
  from?: string;
  until?: string;
  /** Further lines of the certificate's extensions. */
  extensions?: string[];
  subject?: string;
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** A certificate authority, by the openssl command: node:crypto can make keys, but no certificates. */
export class Authority {
  readonly folder = mkdtempSync(join(tmpdir(), 'posthorn-ca-'));
  readonly ca: string;
  private issued = 0;

  private constructor(private readonly pair: Pair) {
    writeFileSync(this.file('ca.key'), pair.key);
    writeFileSync(this.file('ca.pem'), pair.cert);
    writeFileSync(this.file('index.txt'), '');
    writeFileSync(this.file('serial'), '01');
    this.ca = pair.cert;
  }

  static make(subject = '/CN=Test authority'): Authority {
    return new Authority(selfSigned(subject, 'keyUsage=keyCertSign,cRLSign'));
  }

  /** @param names subject alternative names: `DNS:hooks.example.com`, `IP:127.0.0.1` */
  issue(
    names: string,
    {
      from = '20200101000000Z',
      until = '20991231000000Z',
      extensions = [],
      subject = '/CN=leaf',
    }: IssueOptions = {},
  ): Pair {
    const name = `leaf${++this.issued}`;
    const settings = `[ca]
default_ca=this
[this]
database=${this.file('index.txt')}
serial=${this.file('serial')}
new_certs_dir=${this.folder}
default_md=sha256
policy=any
unique_subject=no
x509_extensions=leaf
[any]
countryName=optional
commonName=supplied
[leaf]
subjectAltName=${names}
${extensions.join('\n')}
`;
    writeFileSync(this.file(`${name}.cnf`), settings);
    const [key, csr, pem] = [`${name}.key`, `${name}.csr`, `${name}.pem`].map((each) => this.file(each));
    openssl('req', '-new', ...NEW_KEY, '-subj', subject, '-keyout', String(key), '-out', String(csr));
    openssl(
      ...['ca', '-batch', '-notext', '-config', this.file(`${name}.cnf`)],
      ...['-cert', this.file('ca.pem'), '-keyfile', this.file('ca.key')],
      ...['-in', String(csr), '-out', String(pem), '-startdate', from, '-enddate', until],
    );
    return { key: readFileSync(String(key), 'utf8'), cert: readFileSync(String(pem), 'utf8') };
  }

  /** An authority whose own certificate this one has issued. */
  intermediate(): Authority {
    const extensions = ['basicConstraints=critical,CA:TRUE', 'keyUsage=keyCertSign,cRLSign'];
    return new Authority(this.issue('DNS:intermediate', { extensions, subject: '/CN=Intermediate' }));
  }

  /** Where a program finds it. */
  keep(name: string, pem: string): string {
    writeFileSync(this.file(name), pem);
    return this.file(name);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }

  private file(name: string): string {
    return join(this.folder, name);
  }
}

/** @param extension one line, such as `subjectAltName=DNS:hooks.example.com` */
export function selfSigned(subject: string, extension: string): Pair {
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-self-'));
  const [key, cert] = [join(folder, 'key'), join(folder, 'cert')] as const;
  try {
    openssl(
      ...['req', '-x509', ...NEW_KEY, '-days', '2', '-subj', subject, '-addext', extension],
      ...['-keyout', key, '-out', cert],
    );
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** @returns what it wrote to standard output */
export function openssl(...args: string[]): string {
  return execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
}

const hasOpenssl = ((): boolean => {
  try {
    openssl('version');
    return true;
  } catch {
    return false;
  }
})();

/** Tests that need certificates; where there is no openssl, one that says so in their place. */
export function describeWithOpenssl(what: string, tests: () => void): void {
  if (hasOpenssl) {
    describe(what, tests);
    return;
  }
  describe(what, () => {
    it('NOT RUN: the openssl command, which makes the certificates, is not installed', () => {
      expect(hasOpenssl).toBe(false);
    });
  });
}
