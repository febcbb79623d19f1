import { isIPv6 } from 'node:net';
import { TRANSPORT_CODES } from './codes.js';
import type { TransportCode } from './codes.js';

/** A failure of the receiver or of the network, with the code that the delivery log shows. */
export class ReceiverFault extends Error {
  override readonly name = 'ReceiverFault';
  constructor(
    readonly code: TransportCode,
    /** For the owner of the endpoint. */
    readonly detail: string = TRANSPORT_CODES[code].cause,
  ) {
    super(detail);
  }
}

/** What is wrong on our side: the request says nothing about the receiver and must not count as an attempt. */
export class TransportFault extends Error {
  override readonly name = 'TransportFault';
  readonly code = 'transport_fault';
}

/** Certificate errors of OpenSSL as Node names them (node:tls, "X509 certificate error codes"). */
const CERTIFICATE_CODES: Readonly<Record<string, TransportCode>> = {
  CERT_HAS_EXPIRED: 'tls_expired',
  CERT_NOT_YET_VALID: 'tls_expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'tls_host_mismatch',
  HOSTNAME_MISMATCH: 'tls_host_mismatch',
  CERT_CHAIN_TOO_LONG: 'tls_untrusted',
  CERT_REJECTED: 'tls_untrusted',
  CERT_REVOKED: 'tls_untrusted',
  CERT_SIGNATURE_FAILURE: 'tls_untrusted',
  CERT_UNTRUSTED: 'tls_untrusted',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'tls_untrusted',
  INVALID_CA: 'tls_untrusted',
  INVALID_PURPOSE: 'tls_untrusted',
  PATH_LENGTH_EXCEEDED: 'tls_untrusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'tls_untrusted',
  UNABLE_TO_GET_ISSUER_CERT: 'tls_untrusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'tls_untrusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'tls_untrusted',
};

/**
 * Alerts with which a server answers a client certificate, or its absence (RFC 8446 §6.2). What stands before `ALERT`
 * differs from one release of OpenSSL to the next.
 */
const CLIENT_CERTIFICATE_ALERT =
  /^ERR_SSL_.*ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(REVOKED|EXPIRED|UNKNOWN)|UNKNOWN_CA|ACCESS_DENIED)$/;

const CONNECT_CODES: Readonly<Record<string, TransportCode>> = {
  ECONNREFUSED: 'connect_refused',
  ETIMEDOUT: 'connect_timeout',
  ECONNRESET: 'connection_reset',
  ECONNABORTED: 'connection_reset',
  EHOSTUNREACH: 'connect_unreachable',
  ENETUNREACH: 'connect_unreachable',
  EHOSTDOWN: 'connect_unreachable',
  ENETDOWN: 'connect_unreachable',
  EACCES: 'connect_unreachable',
  EPERM: 'connect_unreachable',
  EINVAL: 'connect_unreachable',
  EAFNOSUPPORT: 'connect_unreachable',
  EADDRNOTAVAIL: 'connect_unreachable',
};

/** Our machine has run out of something; the receiver is not to blame. */
const EXHAUSTED: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL']);

/** undici's refusals of a request that HTTP does not allow, and of one on a pool that is being closed. */
const OURS: ReadonlySet<string> = new Set([
  'UND_ERR_INVALID_ARG',
  'UND_ERR_NOT_SUPPORTED',
  'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_DESTROYED',
  'UND_ERR_CLOSED',
]);

/** A mistake in this program. */
const MISTAKES: ReadonlySet<string> = new Set(['TypeError', 'RangeError', 'ReferenceError']);

/** What became of a connection, told by the error and by whether TCP was through when it came. */
export function connectFault(error: Error, tcpConnected: boolean): Error {
  if (errorsOf(error).some(isExhaustion)) return outOfResources(error);
  for (const code of codesOf(error)) {
    const fault = CERTIFICATE_CODES[code] ?? (tcpConnected ? undefined : CONNECT_CODES[code]);
    if (fault !== undefined) return new ReceiverFault(fault);
    if (CLIENT_CERTIFICATE_ALERT.test(code)) return new ReceiverFault('tls_client_certificate_refused');
  }
  return new ReceiverFault(tcpConnected ? 'tls_handshake_failed' : 'connect_unreachable');
}

/**
 * What became of a request on a connection that stood.
 *
 * @param headArrived whether status and header fields had come.
 */
export function exchangeFault(error: Error, headArrived: boolean): Error {
  if (error instanceof ReceiverFault || error instanceof TransportFault) return error;
  const code = codesOf(error)[0] ?? '';
  if (EXHAUSTED.has(code)) return outOfResources(error);
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return new ReceiverFault('response_headers_too_large');
  // Its code is missing in undici 7.
  if (error.name === 'HTTPParserError') {
    return new ReceiverFault('response_malformed', malformedDetail(error.message));
  }
  // undici says so of a 100 nobody asked for, of an upgrade nobody asked for, and of a second answer to one request.
  if (code === 'UND_ERR_SOCKET' && /^bad (response|upgrade)$/.test(error.message)) {
    return new ReceiverFault(
      'response_malformed',
      'An informational or upgrade response came that nothing had asked for.',
    );
  }
  if (code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') {
    return new ReceiverFault(headArrived ? 'response_incomplete' : 'response_malformed');
  }
  if (code === 'UND_ERR_SOCKET')
    return new ReceiverFault(headArrived ? 'response_incomplete' : 'connection_closed');
  // TLS 1.3 lets the server complain of a client certificate only after the handshake.
  if (CLIENT_CERTIFICATE_ALERT.test(code)) return new ReceiverFault('tls_client_certificate_refused');
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO') return new ReceiverFault('tls_handshake_failed');
  if (OURS.has(code) || MISTAKES.has(error.name)) {
    return new TransportFault('The request could not be made.', { cause: error });
  }
  // Whatever else there may be comes of what the receiver sent. Were it ours, a receiver that knows how to bring it about
  // would be asked again and again for nothing.
  return new ReceiverFault(headArrived ? 'response_incomplete' : 'connection_reset');
}

function outOfResources(error: Error): TransportFault {
  return new TransportFault('This machine has no sockets, ports or memory left for a connection.', {
    cause: error,
  });
}

function malformedDetail(message: string): string {
  const reason = /\(([^)]*)\)$/.exec(message)?.[1];
  const { cause } = TRANSPORT_CODES.response_malformed;
  return reason === undefined ? cause : `${cause.slice(0, -1)}: ${reason}.`;
}

/** With no IPv6 address of its own a machine says of each that is asked for what it says when it has no ports left. */
function isExhaustion(error: unknown): boolean {
  const code = codeOf(error) ?? '';
  return EXHAUSTED.has(code) && !(code === 'EADDRNOTAVAIL' && isIPv6(addressOf(error)));
}

const addressOf = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'address' in error ? String(error.address) : '';

/** One for each address of a name that was tried (AggregateError), and the error itself. */
function errorsOf(error: Error): unknown[] {
  return 'errors' in error && Array.isArray(error.errors) ? [...(error.errors as unknown[]), error] : [error];
}

function codesOf(error: Error): string[] {
  return errorsOf(error)
    .map(codeOf)
    .filter((code) => code !== undefined);
}

/** The `code` of an error as Node, OpenSSL and undici have it. */
export function codeOf(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}
