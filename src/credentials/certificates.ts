import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { invalidField } from '../common/problems.js';
import { secureContext } from '../transport/secure-contexts.js';

const MAX_CHAIN = 6;
const MAX_AUTHORITIES = 16;

/** A certificate that was made this moment, by a clock that is ahead of ours, is valid already. */
const CLOCK_SKEW_MS = 5 * 60 * 1000;

/** Extended key usage of RFC 5280 §4.2.1.12: TLS client authentication, and any. */
const CLIENT_USES: ReadonlySet<string> = new Set(['1.3.6.1.5.5.7.3.2', '2.5.29.37.0']);

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;

export interface CertificateFacts {
  subject: string;
  issuer: string;
  fingerprint256: string;
  expiresAt: Date;
}

export interface ClientCertificate {
  certificate: string;
  privateKey: string;
}

/**
 * Checks a client certificate with its chain and key, so that it fails when it is given and not when it is wanted.
 *
 * @param pointer of the object that has both
 * @returns the PEM of both, without whatever stood around it
 * @throws Problem `validation_failed` pointing at the field
 */
export function readClientCertificate(
  given: ClientCertificate,
  pointer: string,
  nowMs: number,
): ClientCertificate {
  const at = { certificate: `${pointer}/certificate`, key: `${pointer}/privateKey` };
  const chain = readCertificates(given.certificate, at.certificate, MAX_CHAIN);
  const [leaf] = chain;
  for (const [index, certificate] of chain.entries()) {
    checkTime(certificate, at.certificate, nowMs);
    const next = chain[index + 1];
    if (next && !certificate.checkIssued(next)) {
      throw invalidField(
        at.certificate,
        `certificate ${index + 2} did not issue certificate ${index + 1}: the client's comes first`,
      );
    }
  }
  // Undefined where the certificate names no use, although the types of Node do not say so.
  const uses = leaf.keyUsage as string[] | undefined;
  if (uses !== undefined && !uses.some((use) => CLIENT_USES.has(use))) {
    throw invalidField(at.certificate, 'it is not meant for TLS client authentication (extended key usage)');
  }
  const key = readPrivateKey(given.privateKey, at.key);
  if (!leaf.checkPrivateKey(key)) {
    throw invalidField(at.key, 'it is not the key of the first certificate in `certificate`');
  }
  const pair = {
    certificate: chain.map(String).join(''),
    privateKey: key.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
  checkUsable(pair, at.certificate);
  return pair;
}

/** Checks authorities to trust. See {@link readClientCertificate} */
export function readAuthorities(pem: string, pointer: string, nowMs: number): string {
  const authorities = readCertificates(pem, pointer, MAX_AUTHORITIES);
  for (const [index, certificate] of authorities.entries()) {
    if (!certificate.ca)
      throw invalidField(pointer, `certificate ${index + 1} is not one of a certificate authority`);
    checkTime(certificate, pointer, nowMs);
  }
  const ca = authorities.map(String).join('');
  checkUsable({ ca }, pointer);
  return ca;
}

/** What is to be seen of each certificate. @param pem as the functions above return it */
export function factsOf(pem: string): CertificateFacts[] {
  return parse(pem).map((certificate) => ({
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    fingerprint256: certificate.fingerprint256,
    expiresAt: new Date(certificate.validTo),
  }));
}

/**
 * The first of a chain to end breaks it. Of the authorities one is enough: a bundle holds the old one beside the new while
 * a receiver changes over.
 */
export function certificateEnd(chain: string | null, ca: string | null): Date | null {
  const ends = (pem: string) => factsOf(pem).map(({ expiresAt }) => expiresAt.getTime());
  const both = [
    ...(chain === null ? [] : [Math.min(...ends(chain))]),
    ...(ca === null ? [] : [Math.max(...ends(ca))]),
  ];
  return both.length === 0 ? null : new Date(Math.min(...both));
}

function readCertificates(
  pem: string,
  pointer: string,
  max: number,
): [X509Certificate, ...X509Certificate[]] {
  const kinds = [...pem.matchAll(BLOCK)].map(([, kind = '']) => kind);
  const foreign = kinds.find((kind) => kind !== 'CERTIFICATE');
  if (foreign !== undefined)
    throw invalidField(pointer, `it holds more than certificates: ${foreign.toLowerCase()}`);
  if (kinds.length > max)
    throw invalidField(pointer, `it holds ${kinds.length} certificates; ${max} are allowed`);
  let certificates: X509Certificate[];
  try {
    certificates = parse(pem);
  } catch {
    throw invalidField(pointer, 'it holds a certificate that cannot be read');
  }
  const [first, ...others] = certificates;
  if (!first) throw invalidField(pointer, 'must be PEM: `-----BEGIN CERTIFICATE-----` …');
  return [first, ...others];
}

const parse = (pem: string): X509Certificate[] =>
  [...pem.matchAll(BLOCK)].map(([block]) => new X509Certificate(block));

function readPrivateKey(pem: string, pointer: string): KeyObject {
  if (pem.includes('ENCRYPTED')) {
    throw invalidField(
      pointer,
      'it is encrypted; give it decrypted (`openssl pkey -in client.key`): it is encrypted here at rest',
    );
  }
  try {
    return createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    throw invalidField(pointer, 'must be a private key in PEM: `-----BEGIN PRIVATE KEY-----` …');
  }
}

function checkTime({ validFrom, validTo }: X509Certificate, pointer: string, nowMs: number): void {
  if (!(Date.parse(validTo) > nowMs))
    throw invalidField(pointer, `it holds a certificate that expired on ${validTo}`);
  if (!(Date.parse(validFrom) <= nowMs + CLOCK_SKEW_MS)) {
    throw invalidField(pointer, `it holds a certificate that is not valid before ${validFrom}`);
  }
}

/** Keys that are too short, algorithms that nobody takes any more: whatever OpenSSL has against it. */
function checkUsable(credentials: Parameters<typeof secureContext>[0], pointer: string): void {
  try {
    secureContext(credentials);
  } catch (error) {
    const reason = (error as { reason?: unknown }).reason;
    throw invalidField(
      pointer,
      `it cannot be used for TLS${typeof reason === 'string' ? `: ${reason}` : ''}`,
    );
  }
}

/** Names of a subject come one a line. */
const oneLine = (name: string): string => name.split('\n').join(', ');
