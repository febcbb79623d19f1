/** One request to a customer's URL. Everything that leaves for a customer's network is described by this shape. */
export interface OutgoingRequest {
  method: 'POST' | 'GET' | 'OPTIONS';
  url: string;
  /** Names in lower case. */
  headers: Readonly<Record<string, string>>;
  body: string | Uint8Array;
  /** Milliseconds for everything: name resolution, connection, headers and body. */
  timeoutMs: number;
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
}

/**
 * `blocked` was never sent, `transient` may work later. `response` is what had arrived before the failure:
 * a receiver that answers 200 and then drips its body has a status code, and still missed the deadline.
 */
export interface TransportFailure {
  /** One of TRANSPORT_CODES. */
  code: string;
  detail: string;
  kind: 'blocked' | 'transient';
  response?: OutgoingResponse;
}

export type TransportResult = { durationMs: number } & (
  { ok: true; response: OutgoingResponse } | { ok: false; failure: TransportFailure }
);
