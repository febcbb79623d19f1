/** One request to a customer's URL. Everything that leaves for a customer's network is described by this shape. */
export interface OutgoingRequest {
  method: 'POST' | 'GET' | 'OPTIONS';
  url: string;
  /** Names in lower case. */
  headers: Readonly<Record<string, string>>;
  body: string | Uint8Array;
  /** Milliseconds for everything: name resolution, connection, headers and body. */
  timeoutMs: number;
  /** Bytes of the answer's body at most that are wanted as they came, of any answer or of one status alone. Absent: none. */
  whole?: { bytes: number; ofStatus?: number } | undefined;
  /** Absent: no client certificate, and the trust that the transport was made with. */
  tls?: TlsCredentials;
}

/** A client certificate, trust of its own, or both. */
export interface TlsCredentials {
  /** Names these: a connection is used only by requests with the same one. */
  key: string;
  /** PEM of certificate authorities to trust instead of those that the transport was made with. */
  ca?: string | string[];
  /** PEM of the client certificate, followed by its chain. */
  certificate?: string;
  /** PEM of its key, not encrypted. */
  privateKey?: string;
}

/** What came back. A status code is always present: without one there is a {@link TransportFailure} instead. */
export interface OutgoingResponse {
  statusCode: number;
  /** Names in lower case; a repeated header is joined with `, `. */
  headers: Readonly<Record<string, string>>;
  /** At most 16 KiB of what was read, as text when it is text, in base64 when it is not (compressed, binary). */
  body: string;
  bodyEncoding: 'utf8' | 'base64';
  /** True when the receiver sent more than was kept. */
  truncated: boolean;
  /** The body as it came, where that was asked for; absent when it was longer than that, or no text. */
  whole?: string;
}

/**
 * `blocked` was never sent, `transient` may work later, `permanent` wants somebody to change something. `response` is
 * what had arrived before the failure: a receiver that answers 200 and then drips its body has a status code, and still
 * missed the deadline.
 */
export interface TransportFailure {
  /** One of TRANSPORT_CODES. */
  code: string;
  detail: string;
  kind: 'blocked' | 'transient' | 'permanent';
  response?: OutgoingResponse;
  /**
   * Set where it was our own number that kept the request out of a host that takes connections: milliseconds after which
   * to try again. It says nothing of the receiver.
   */
  comeBackMs?: number;
}

export type TransportResult = { durationMs: number } & (
  { ok: true; response: OutgoingResponse } | { ok: false; failure: TransportFailure }
);
