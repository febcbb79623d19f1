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
  portal_code_invalid: {
    status: 400,
    title: 'Portal code refused',
    cure: 'Make a new portal token: a code is good for one exchange, for five minutes, and while the key that made it is.',
  },
  unauthenticated: {
    status: 401,
    title: 'No valid key',
    cure: 'Send `Authorization: Bearer phk_…` with a key or a token that is neither revoked nor expired.',
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
    cure: 'Resume or verify the endpoint; its held deliveries are then sent by themselves.',
  },
  delivery_ended: {
    status: 409,
    title: 'The delivery has ended',
    cure: 'A delivered, failed, skipped or cancelled delivery cannot be cancelled; retry it to send it again.',
  },
  verification_not_asked: {
    status: 409,
    title: 'Nothing to verify',
    cure: 'Give the endpoint a `verification` first.',
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
  endpoint_not_test: {
    status: 409,
    title: 'The account is in test mode, and the endpoint is not',
    cure: "Set the endpoint's `test` to `true`, or the account's `mode` to `live`.",
  },
  request_timeout: {
    status: 408,
    title: 'Request took too long',
    cure: 'Send the whole request within a minute.',
  },
  endpoint_limit_reached: {
    status: 409,
    title: 'The plan allows no more endpoints',
    cure: 'Delete an endpoint that is not needed, or have the operator give the account another plan.',
  },
  plan_exists: {
    status: 409,
    title: 'There is a plan of this name',
    cure: 'Change it by `PATCH /v1/plans/{plan}`, or take another name.',
  },
  plan_in_use: {
    status: 409,
    title: 'The plan is in use',
    cure: 'Give its accounts another plan first; the plan of `POSTHORN_DEFAULT_PLAN` cannot be deleted.',
  },
  lookup_exists: {
    status: 409,
    title: 'There is a lookup of this name',
    cure: 'Change it by `PATCH /v1/lookups/{lookup}`, or take another name.',
  },
  lookup_in_use: {
    status: 409,
    title: 'Endpoints ask for the lookup',
    cure: 'Take it out of `lookups` of these endpoints first.',
  },
  lookup_limit_reached: {
    status: 409,
    title: 'There are as many lookups as there may be',
    cure: 'Delete one that no endpoint asks for.',
  },
  idempotency_key_in_use: {
    status: 409,
    title: 'The first request with this key is still running',
    cure: 'Wait as long as `Retry-After` says and send the same request again.',
  },
  fetch_token_used: {
    status: 410,
    title: 'The link was used before',
    cure: 'Read the event with a key of the account (`GET /v1/accounts/{acc}/events/{evt}`); another attempt of the delivery brings another link.',
  },
  payload_too_large: {
    status: 413,
    title: 'Body too large',
    cure: 'Stay under the limit that the detail names.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'Unsupported media type',
    cure: 'Send `Content-Type: application/json`. A CloudEvent may be `application/cloudevents+json` too, where events are published; its data must be JSON.',
  },
  validation_failed: {
    status: 422,
    title: 'Invalid field',
    cure: 'Mend the fields that `errors` points at; unknown fields are refused.',
  },
  event_not_in_catalogue: {
    status: 422,
    title: 'Event is not as the catalogue says',
    cure: 'Publish a registered version of a registered event type (`GET /v1/event-types/{type}`), and `data` that matches its schema.',
  },
  endpoint_url_refused: {
    status: 422,
    title: 'Endpoint URL refused',
    cure: 'Give a public `https:` URL without credentials or fragment, on an allowed port.',
  },
  lookup_url_refused: {
    status: 422,
    title: 'URL of the lookup refused',
    cure: 'Give a public `https:` URL, or open the network that it lies in with `POSTHORN_EGRESS_ALLOW`.',
  },
  signing_secret_invalid: {
    status: 422,
    title: 'Signing secret refused',
    cure: 'Give `whsec_` and base64 of 24 to 64 random bytes, or `whsk_` and base64 of an ed25519 key pair, or leave it out.',
  },
  plan_limit_exceeded: {
    status: 422,
    title: 'More than the plan allows',
    cure: 'Stay within the limit that `limit` names (`GET /v1/accounts/{acc}/limits`), or have the operator give the account another plan.',
  },
  idempotency_key_reused: {
    status: 422,
    title: 'Idempotency key used for another request',
    cure: 'Use a new key for a new request.',
  },
  too_many_failed_attempts: {
    status: 429,
    title: 'Too many wrong credentials',
    cure: 'Wait as long as `Retry-After` says, and stop whatever sends wrong keys from this address.',
  },
  publish_rate_exceeded: {
    status: 429,
    title: 'Published faster than the plan allows',
    cure: 'Publish the same again after `Retry-After` seconds; nothing of it was accepted.',
  },
  daily_quota_exceeded: {
    status: 429,
    title: 'As many events published today as the plan allows',
    cure: 'Publish the same again after `Retry-After` seconds, when the day ends in UTC, or have the operator give the account another plan.',
  },
  headers_too_large: {
    status: 431,
    title: 'Headers too large',
    cure: 'Keep the path and the headers under 16 KiB together.',
  },
  internal_error: {
    status: 500,
    title: 'Internal error',
    cure: 'Nothing you did; report the `requestId`. A publish may be repeated safely with the same `externalId` or `Idempotency-Key`; of any other write, look first whether it was made.',
  },
  identity_provider_unavailable: {
    status: 503,
    title: 'The identity provider does not answer',
    cure: 'Send the request again after `Retry-After` seconds, or use an API key.',
  },
  unavailable: {
    status: 503,
    title: 'Temporarily unavailable',
    cure: 'Send the request again after `Retry-After` seconds, with the same `externalId` or `Idempotency-Key` where it publishes: where the connection to the database broke, it may have been accepted.',
  },
} as const satisfies Record<string, { status: number; title: string; cure: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

/** A bad field: an RFC 6901 pointer into the body (or `?name` for the query, or the name of a header) and what is wrong with it. */
export interface FieldError {
  pointer: string;
  detail: string;
}

/** An answer that is not 2xx, thrown from anywhere below a controller (RFC 9457). */
export class Problem extends Error {
  readonly errors: readonly FieldError[];
  readonly retryAfterSeconds: number | undefined;
  /** `WWW-Authenticate` (RFC 6750 §3). */
  readonly challenge: string | undefined;
  /** The limit of a plan that was met. */
  readonly limit: { name: string; plan: string } | undefined;
  /** Of the answer, beside those that every problem has. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    readonly code: ProblemCode,
    detail: string,
    options: {
      errors?: readonly FieldError[];
      retryAfterSeconds?: number;
      challenge?: string;
      limit?: { name: string; plan: string };
      headers?: Readonly<Record<string, string>>;
      cause?: unknown;
    } = {},
  ) {
    super(detail, { cause: options.cause });
    this.name = 'Problem';
    this.errors = options.errors ?? [];
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.challenge = options.challenge;
    this.limit = options.limit;
    this.headers = options.headers ?? {};
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
      ...(this.limit ? { limit: this.limit.name, plan: this.limit.plan } : {}),
      requestId,
    };
  }
}

/** The same answer for what does not exist and for what belongs to somebody else. */
export const notFound = (what: string): Problem => new Problem('not_found', `There is no such ${what}.`);

/** One bad field of the body, found after its shape was right. */
export const invalidField = (pointer: string, detail: string): Problem =>
  new Problem('validation_failed', `${pointer}: ${detail}`, { errors: [{ pointer, detail }] });
