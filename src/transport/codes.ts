/**
 * Every reason for which a request was not sent or got no usable answer: what it means and what to do about it, told to
 * the owner of the endpoint. The error page of the docs is made from this list, so it cannot miss one.
 *
 * `blocked` was never sent and trying again is of no use; `transient` may work later.
 */
export const TRANSPORT_CODES = {
  url_invalid: {
    kind: 'blocked',
    cause: 'The URL cannot be read, or programs differ in how they read it.',
    cure: 'Give an absolute URL such as https://hooks.example.com/in, without spaces, backslashes or control characters.',
  },
  url_too_long: {
    kind: 'blocked',
    cause: 'The URL is longer than 2,048 characters.',
    cure: 'Give a shorter URL.',
  },
  url_scheme_refused: {
    kind: 'blocked',
    cause: 'The URL is not an https: one, so that anyone on the way could read and change what is sent.',
    cure: 'Serve the endpoint over https:. Plain http: works only in networks that POSTHORN_EGRESS_ALLOW opens.',
  },
  url_credentials_refused: {
    kind: 'blocked',
    cause: 'The URL has a user name or password in it, which would end up in logs.',
    cure: 'Put credentials into a custom header of the endpoint, or rely on the signature.',
  },
  url_fragment_refused: {
    kind: 'blocked',
    cause: 'The URL has a fragment (#…), which no server ever sees.',
    cure: 'Remove it, or write a literal # in the path as %23.',
  },
  url_port_refused: {
    kind: 'blocked',
    cause: 'The port belongs to mail, a database or another protocol that an HTTP request could harm.',
    cure: 'Serve the endpoint on 443 or on another port that no such protocol is known for.',
  },
  host_refused: {
    kind: 'blocked',
    cause:
      'The host name means something else inside each network: localhost, *.local, *.internal, a name without a dot, a metadata service.',
    cure: 'Use a public host name. In development, open the network it lies in with POSTHORN_EGRESS_ALLOW.',
  },
  address_refused: {
    kind: 'blocked',
    cause: 'The host is, or its name leads to, an address that is not on the public internet.',
    cure: 'Point every A and AAAA record of the name to a public address. In development, open the network with POSTHORN_EGRESS_ALLOW.',
  },
  dns_not_found: {
    kind: 'transient',
    cause: 'The host name does not exist, or has no address.',
    cure: 'Check the spelling of the host and its A and AAAA records.',
  },
  dns_failed: {
    kind: 'transient',
    cause: 'The name servers of the host did not answer, or answered with a failure.',
    cure: "Check the domain's name servers and DNSSEC; it is tried again.",
  },
  connect_refused: {
    kind: 'transient',
    cause: 'Nothing listens at that address and port.',
    cure: 'Start the server, and check the port and its firewall.',
  },
  connect_unreachable: {
    kind: 'transient',
    cause: 'There is no route to the address.',
    cure: 'Check the address in DNS and the network of the server.',
  },
  connect_timeout: {
    kind: 'transient',
    cause: 'No connection, TLS included, came about in time; often a firewall that drops packets.',
    cure: 'Let the firewall pass connections from Posthorn, and see whether the server is overloaded.',
  },
  connection_reset: {
    kind: 'transient',
    cause: 'The connection was reset before an answer came.',
    cure: 'Look at the server and at the proxies before it: a process that crashed or was restarted does this.',
  },
  connection_closed: {
    kind: 'transient',
    cause: 'The connection was closed before an answer came.',
    cure: 'Let the server answer each request before it closes the connection.',
  },
  tls_untrusted: {
    kind: 'transient',
    cause:
      'The certificate is not signed by an authority that is trusted, or an intermediate certificate is missing.',
    cure: 'Install a certificate of a public authority together with its whole chain.',
  },
  tls_expired: {
    kind: 'transient',
    cause: 'The certificate, or one in its chain, has expired or is not valid yet.',
    cure: 'Renew the certificate, and check that the server has loaded the new one.',
  },
  tls_host_mismatch: {
    kind: 'transient',
    cause: 'The certificate is for another host name.',
    cure: 'Install a certificate that names the host of the URL among its subject alternative names.',
  },
  tls_handshake_failed: {
    kind: 'transient',
    cause:
      'No TLS connection came about: the server speaks only TLS 1.1 or older, asks for a client certificate, or speaks no TLS.',
    cure: 'Offer TLS 1.2 or 1.3 at that port.',
  },
  response_timeout: {
    kind: 'transient',
    cause: 'The request was sent and no complete answer head came before the deadline.',
    cure: 'Answer 2xx at once and work afterwards, or raise `timeoutMs` of the endpoint.',
  },
  response_body_timeout: {
    kind: 'transient',
    cause: 'A status came, but the body of the answer was not finished by the deadline.',
    cure: 'Send a short body, or none, with its content-length.',
  },
  response_incomplete: {
    kind: 'transient',
    cause: 'A status came, but the connection ended in the middle of the body.',
    cure: 'Send as many bytes as content-length says, or finish the last chunk.',
  },
  response_malformed: {
    kind: 'transient',
    cause: 'What came back is not an HTTP/1.1 response.',
    cure: 'Check that a web server listens at that port, and what the proxies before it add.',
  },
  response_headers_too_large: {
    kind: 'transient',
    cause: 'The header fields of the answer are larger than 16 KiB.',
    cure: 'Send fewer and smaller header fields; cookies are of no use here.',
  },
} as const satisfies Record<string, { kind: 'blocked' | 'transient'; cause: string; cure: string }>;

export type TransportCode = keyof typeof TRANSPORT_CODES;

/** The codes of a request that was never sent. */
export type RefusalCode = {
  [Code in TransportCode]: (typeof TRANSPORT_CODES)[Code]['kind'] extends 'blocked' ? Code : never;
}[TransportCode];

/** A destination that is refused; `detail` says why, for people, without any address that only our network knows. */
export interface Refusal {
  ok: false;
  code: RefusalCode;
  detail: string;
}
