import { generateKeyPairSync } from 'node:crypto';
import { afterAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Authority, describeWithOpenssl, type Pair, selfSigned } from '../../test/support/authority.js';
import type { Problem } from '../common/problems.js';
import { certificateEnd, factsOf, readAuthorities, readClientCertificate } from './certificates.js';

const NOW = Date.now();

function refusal(read: () => unknown): [string | undefined, string | undefined] {
  try {
    read();
  } catch (error) {
    const [first] = (error as Problem).errors;
    return [first?.pointer, first?.detail];
  }
  return [undefined, undefined];
}

describeWithOpenssl('a client certificate that is given', () => {
  const authority = Authority.make();
  afterAll(() => authority.remove());
  const pair = authority.issue('DNS:a.example', { subject: '/C=DE/CN=posthorn' });
  const other = authority.issue('DNS:b.example');
  const read = ({ cert, key }: Pair, nowMs = NOW) =>
    readClientCertificate({ certificate: cert, privateKey: key }, '/auth', nowMs);

  it('is kept without what stands around it', () => {
    const kept = read({ cert: `Subject: me\n${pair.cert}\ntrailing`, key: `Bag Attributes\n${pair.key}` });
    expect(kept.certificate.trim()).toBe(pair.cert.trim());
    expect(kept.privateKey).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
    expect(read({ cert: kept.certificate, key: kept.privateKey })).toEqual(kept);
  });

  it('is told by subject, issuer, fingerprint and end', () => {
    expect(factsOf(pair.cert)).toEqual([
      {
        subject: 'C=DE, CN=posthorn',
        issuer: 'CN=Test authority',
        fingerprint256: expect.stringMatching(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/),
        expiresAt: new Date('2099-12-31T00:00:00Z'),
      },
    ]);
  });

  it('may bring its chain, in order', () => {
    const intermediate = authority.intermediate();
    try {
      const leaf = intermediate.issue('DNS:a.example');
      const whole = [leaf.cert, intermediate.ca, authority.ca];
      expect(factsOf(read({ ...leaf, cert: whole.join('\n') }).certificate)).toHaveLength(3);
      const [first, second, third] = whole;
      for (const wrong of [
        [second, first],
        [first, third],
        [first, third, second],
      ]) {
        expect(refusal(() => read({ ...leaf, cert: wrong.join('\n') }))[0]).toBe('/auth/certificate');
      }
    } finally {
      intermediate.remove();
    }
  });

  it.each<[string, () => Pair, string, RegExp]>([
    ['without PEM', () => ({ ...pair, cert: 'hello' }), 'certificate', /must be PEM/],
    ['that is the key', () => ({ ...pair, cert: pair.key }), 'certificate', /private key/],
    ['with the key in it', () => ({ ...pair, cert: pair.cert + pair.key }), 'certificate', /private key/],
    [
      'cut short',
      () => ({ ...pair, cert: pair.cert.replace(/\n.{64}\n/, '\n') }),
      'certificate',
      /cannot be read/,
    ],
    ['seven times', () => ({ ...pair, cert: pair.cert.repeat(7) }), 'certificate', /7 certificates; 6/],
    [
      'past its end',
      () => authority.issue('DNS:a', { until: '20200201000000Z' }),
      'certificate',
      /expired on Feb {2}1 00:00:00 2020 GMT/,
    ],
    [
      'before its beginning',
      () => authority.issue('DNS:a', { from: '20900101000000Z' }),
      'certificate',
      /not valid before/,
    ],
    [
      'for servers alone',
      () => authority.issue('DNS:a', { extensions: ['extendedKeyUsage=serverAuth'] }),
      'certificate',
      /client authentication/,
    ],
    ['with the key of another', () => ({ ...pair, key: other.key }), 'privateKey', /not the key/],
    ['with no key', () => ({ ...pair, key: 'hello' }), 'privateKey', /must be a private key/],
    [
      'with its certificate as key',
      () => ({ ...pair, key: pair.cert }),
      'privateKey',
      /must be a private key/,
    ],
    ['with an encrypted key', () => ({ ...pair, key: encrypted() }), 'privateKey', /encrypted/],
  ])('%s is refused', (_what, given, field, detail) => {
    const [pointer, told] = refusal(() => read(given()));
    expect(pointer).toBe(`/auth/${field}`);
    expect(told).toMatch(detail);
  });

  it('for clients and servers is taken', () => {
    const extensions = ['extendedKeyUsage=serverAuth,clientAuth'];
    expect(read(authority.issue('DNS:a', { extensions })).certificate).toContain('BEGIN CERTIFICATE');
  });

  it('ends when the first of its chain does', () => {
    const short = authority.issue('DNS:a', { until: '20800101000000Z' });
    expect(certificateEnd(pair.cert + short.cert, null)).toEqual(new Date('2080-01-01T00:00:00Z'));
    expect(certificateEnd(null, null)).toBeNull();
  });
});

describeWithOpenssl('authorities that are given', () => {
  const authority = Authority.make();
  const young = Authority.make('/CN=Young authority');
  afterAll(() => {
    authority.remove();
    young.remove();
  });
  const read = (pem: string, nowMs = NOW) => readAuthorities(pem, '/tls/ca', nowMs);

  it('are kept, several too', () => {
    expect(factsOf(read(authority.ca + young.ca)).map(({ subject }) => subject)).toEqual([
      'CN=Test authority',
      'CN=Young authority',
    ]);
  });

  it.each([
    [
      'one that is none',
      () => authority.issue('DNS:a').cert,
      /certificate 1 is not one of a certificate authority/,
    ],
    ['a none among them', () => authority.ca + authority.issue('DNS:a').cert, /certificate 2 is not/],
    [
      'a certificate signed by itself for a server',
      () => selfSigned('/CN=a', 'basicConstraints=CA:FALSE').cert,
      /is not/,
    ],
    ['text', () => 'hello', /must be PEM/],
    ['too many', () => authority.ca.repeat(17), /17 certificates; 16/],
  ])('are refused: %s', (_what, pem, detail) => {
    const [pointer, told] = refusal(() => read(pem()));
    expect(pointer).toBe('/tls/ca');
    expect(told).toMatch(detail);
  });

  it('are refused when one has expired', () => {
    expect(refusal(() => read(authority.ca, NOW + 3 * 86_400_000))[1]).toMatch(/expired on/);
  });

  it('end when the last of them does, and with a client certificate when the first of both does', () => {
    const [end] = factsOf(authority.ca).map(({ expiresAt }) => expiresAt);
    const long = authority.issue('DNS:a').cert;
    expect(certificateEnd(null, authority.ca + long)).toEqual(new Date('2099-12-31T00:00:00Z'));
    expect(certificateEnd(long, authority.ca)).toEqual(end);
  });
});

describe('anything else', () => {
  it('is refused with the field that it was given in, and never with its content', () => {
    const { privateKey } = generateKeyPairSync('ed25519', {
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    });
    const noise = fc.string({ minLength: 12, unit: 'binary' });
    const pem = fc.oneof(
      noise,
      noise.map((text) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----`),
      noise.map(
        (text) =>
          `-----BEGIN CERTIFICATE-----\n${Buffer.from(text).toString('base64')}\n-----END CERTIFICATE-----`,
      ),
    );
    fc.assert(
      fc.property(pem, (given) => {
        const [pointer, detail] = refusal(() =>
          readClientCertificate({ certificate: given, privateKey }, '/auth', NOW),
        );
        expect(pointer).toBe('/auth/certificate');
        expect(detail).not.toContain(privateKey);
        expect(refusal(() => readAuthorities(given, '/tls/ca', NOW))[0]).toBe('/tls/ca');
      }),
    );
  });
});

function encrypted(): string {
  return generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey;
}
