/**
 * Every error that a caller of the API can meet: its stable code, status, cause and cure. docs/errors.md is made from
 * this list, so it cannot miss one.
 */
export const PROBLEMS = {
  malformed_json: { status: 400, title: 'Malformed JSON', cure: 'Send one JSON value in UTF-8 as the body.' },
  bad_request: { status: 400, title: 'Bad request', cure: 'Send a well-formed HTTP request.' },
  invalid_cursor: {
    status: 400,
    title: 'Invalid cursor',
    cure: 'Send a `nextCursor` of the same list as it came, or leave it out to begin at the newest.',
  },
  unauthenticated: {
    status: 401,
    title: 'No valid key',
    cure: 'Send `Authorization: Bearer phk_…` with a key that is neither revoked nor expired.',
  },
  forbidden: { status: 403, title: 'Not allowed', cure: 'Use a key with the scope that the detail names.' },
  not_found: {
    status: 404,
    title: 'Not found',
    cure: 'Check the id; a resource of another account is not found either.',
  },
  method_not_allowed: {
    status: 405,
    title: 'Method not allowed',
    cure: 'See the API reference for what the path takes.',
  },
  attempt_in_progress: {
    status: 409,
    title: 'An attempt is under way',
    cure: 'Wait until the attempt has ended, then look at its outcome before retrying.',
  },
  delivery_held: {
    status: 409,
    title: 'The delivery is held',
    cure: 'Resume the endpoint; its held deliveries are then sent by themselves.',
  },
  delivery_ended: {
    status: 409,
    title: 'The delivery has ended',
    cure: 'A delivered, failed, skipped or cancelled delivery cannot be cancelled; retry it to send it again.',
  },
  endpoint_deleted: {
    status: 409,
    title: 'The endpoint was deleted',
    cure: 'Publish the event again for another endpoint; a deleted one is gone for good.',
  },
  endpoint_disabled: {
    status: 409,
    title: 'The endpoint is disabled',
    cure: 'Set its `status` to `active` once the receiver works again, then retry.',
  },
  request_timeout: {
    status: 408,
    title: 'Request took too long',
    cure: 'Send the whole request within a minute.',
  },
  idempotency_key_in_use: {
    status: 409,
    title: 'The first request with this key is still running',
    cure: 'Wait as long as `Retry-After` says and send the same request again.',
  },
  payload_too_large: {
    status: 413,
    title: 'Body too large',
    cure: 'Stay under the limit that the detail names.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'Unsupported media type',
    cure: 'Send `Content-Type: application/json`.',
  },
  validation_failed: {
    status: 422,
    title: 'Invalid field',
    cure: 'Mend the fields that `errors` points at; unknown fields are refused.',
  },
  endpoint_url_refused: {
    status: 422,
    title: 'Endpoint URL refused',
    cure: 'Give a public `https:` URL without credentials or fragment, on an allowed port.',
  },
  signing_secret_invalid: {
    status: 422,
    title: 'Signing secret refused',
    cure: 'Give `whsec_` and base64 of 24 to 64 random bytes, or `whsk_` and base64 of an ed25519 key pair, or leave it out.',
  },
  idempotency_key_reused: {
    status: 422,
    title: 'Idempotency key used for another request',
    cure: 'Use a new key for a new request.',
  },
  headers_too_large: {
    status: 431,
    title: 'Headers too large',
    cure: 'Keep the path and the headers under 16 KiB together.',
  },
  internal_error: {
    status: 500,
    title: 'Internal error',
    cure: 'Nothing you did; report the `requestId`. A write may be repeated safely with the same `Idempotency-Key`.',
  },
  unavailable: {
    status: 503,
    title: 'Temporarily unavailable',
    cure: 'Send the request again after `Retry-After` seconds; what was not answered 2xx was not accepted.',
  },
} as const satisfies Record<string, { status: number; title: string; cure: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

/** A bad field: an RFC 6901 pointer into the body (or `?name` for the query) and what is wrong with it. */
export interface FieldError {
  pointer: string;
  detail: string;
}

/** An answer that is not 2xx, thrown from anywhere below a controller (RFC 9457). */
export class Problem extends Error {
  readonly errors: readonly FieldError[];
  readonly retryAfterSeconds: number | undefined;

  constructor(
    readonly code: ProblemCode,
    detail: string,
    options: { errors?: readonly FieldError[]; retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(detail, { cause: options.cause });
    this.name = 'Problem';
    this.errors = options.errors ?? [];
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  get status(): number {
    return PROBLEMS[this.code].status;
  }

  toBody(requestId: string): Record<string, unknown> {
    return {
      type: 'about:blank',
      title: PROBLEMS[this.code].title,
      status: this.status,
      code: this.code,
      detail: this.message,
      ...(this.errors.length > 0 ? { errors: this.errors } : {}),
      requestId,
    };
  }
}

/** The same answer for what does not exist and for what belongs to somebody else. */
export const notFound = (what: string): Problem => new Problem('not_found', `There is no such ${what}.`);
