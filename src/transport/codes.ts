/**
 * Every reason for which a request was not sent or got no usable answer: what it means and what to do about it, told to
 * the owner of the endpoint. The error page of the docs is made from this list, so it cannot miss one.
 *
 * `blocked` was never sent and trying again is of no use; `transient` may work later; `permanent` is tried a few times, in
 * case somebody is about to mend it.
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
    cure: 'Give credentials as `auth` of the endpoint, or rely on the signature.',
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
  proxy_refused: {
    kind: 'blocked',
    cause: 'The egress proxy of this deployment does not let requests go to that host or address.',
    cure: 'Ask whoever operates this deployment whether the host may be reached; give a URL that may.',
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
  proxy_connect_failed: {
    kind: 'transient',
    cause: 'The egress proxy of this deployment could not connect to the host.',
    cure: 'Check that the server runs, its port and its firewall; it must let the published sending addresses pass.',
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
    cure: 'Install a certificate of a public authority together with its whole chain, or give the private authority as `tls.ca` of the endpoint.',
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
    cure: 'Offer TLS 1.2 or 1.3 at that port, and give the client certificate that it asks for as `auth` of the endpoint.',
  },
  tls_client_certificate_refused: {
    kind: 'transient',
    cause: 'The server asks for a client certificate and refuses the one it was given, or was given none.',
    cure: 'Give the endpoint an `auth` of type `mtls` with a certificate that the server trusts and that has not expired.',
  },
  tls_credentials_unusable: {
    kind: 'transient',
    cause: 'The client certificate or the private authority of the endpoint can no longer be used for TLS.',
    cure: 'Give `auth` and `tls` of the endpoint anew, with keys and signatures of today.',
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
  oauth2_token_url_refused: {
    kind: 'blocked',
    cause: 'The token server of the endpoint is, or its name leads to, an address that nothing is sent to.',
    cure: 'Give a public https: URL as `auth.tokenUrl`.',
  },
  oauth2_token_refused: {
    kind: 'permanent',
    cause: 'The token server gives no access token for these credentials.',
    cure: 'Check `clientId`, `clientSecret`, `scope`, `audience` and `clientAuthentication` of the endpoint with the token server.',
  },
  oauth2_token_unavailable: {
    kind: 'transient',
    cause: 'The token server could not be reached, was too slow, or is out of order.',
    cure: 'See whether the token server works; it is asked again at the next attempt.',
  },
  oauth2_token_malformed: {
    kind: 'transient',
    cause: 'The token server answered with something other than an access token of type Bearer.',
    cure: 'Check `auth.tokenUrl`: it answers a POST with JSON that holds `access_token` (RFC 6749 §5.1), at most 16 KiB long.',
  },
} as const satisfies Record<
  string,
  { kind: 'blocked' | 'transient' | 'permanent'; cause: string; cure: string }
>;

/** Reasons that come before the transport is asked. They stand on the same page. */
export const UNSENT_CODES = {
  transform_error: {
    cause:
      "The transformation of the endpoint failed on this event: `errorDetail` says how. Nothing was sent, and the endpoint's health does not suffer.",
    cure: 'Try it on the event by `POST …/transformation/test` and put a mended one: what waits because of it is then tried at once.',
  },
  conversion_error: {
    cause:
      'The event could not be converted to the version that the endpoint pins: `errorDetail` says how. Nothing was sent, and the endpoint is not to blame.',
    cure: 'It is for the provider to mend the conversion in the event catalogue: what waits because of it is then tried at once.',
  },
  lookup_failed: {
    cause:
      "A lookup that the event is enriched by failed: `errorDetail` says which and how. Nothing was sent, and the endpoint's health does not suffer.",
    cure: 'Wait for the next attempt, or tell whoever operates this deployment: `GET /v1/lookups/{lookup}` shows the latest failure.',
  },
} as const satisfies Record<string, { cause: string; cure: string }>;

export type UnsentCode = keyof typeof UNSENT_CODES;

/** What answers come to that speak of each event of an array. They stand on the same page. */
export const ANSWER_CODES = {
  batch_partial: {
    cause:
      'The receiver answered 207 and has not taken all events of the array: `errorDetail` says how many are sent again.',
    cure: "Look at the receiver's `results`: what it answered 5xx, 408, 425 or 429 for, and what it left out, comes again.",
  },
  batch_results_unreadable: {
    cause:
      'The receiver answered 207, and its body does not say what became of each event. All are sent again.',
    cure: 'Answer 207 with `{"results": [{"id": "evt_…", "status": 200}, …]}` in at most 256 KiB, or 200 for all of them.',
  },
} as const satisfies Record<string, { cause: string; cure: string }>;

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
