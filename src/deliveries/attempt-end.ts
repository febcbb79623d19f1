import type { AttemptRequest, AttemptResult, AttemptSummary } from '../../workflows/contracts.js';
import { classifyAnswer } from '../../workflows/outcomes.js';
import type { Judged } from '../batches/batch-results.js';
import { maskHeaders } from '../endpoints/custom-headers.js';
import type { ShapeStep } from '../messages/shaper.js';
import type { TransportResult } from '../transport/types.js';
import type { AttemptDetails } from './recorder.js';

/**
 * How often an attempt is put off because connections of our own crowded its host. That goes on for minutes; a receiver that
 * has let nobody in by then is charged for it.
 */
const MAX_CROWDED_OUT = 5;

/** What an attempt came to, which may have ended before anything was sent. */
export type AttemptEnd = TransportResult | NotSent;

interface NotSent {
  ok: false;
  durationMs: number;
  failure: { code: string; detail: string; kind: 'transform'; response?: undefined; comeBackMs?: undefined };
}

/** Nothing could be made of the event. */
export function notSent({ code, detail, durationMs }: Extract<ShapeStep, { kind: 'failed' }>): {
  result: AttemptEnd;
  request: null;
} {
  const failure = { code, detail, kind: 'transform' } as const;
  return { result: { ok: false, durationMs, failure }, request: null };
}

/** Whether nothing was sent for no fault of the receiver, and not for the last time that is borne. */
export function crowdedOutBy(
  result: AttemptEnd,
  { crowdedOut = 0 }: AttemptRequest,
): Extract<AttemptResult, { kind: 'deferred' }> | null {
  const waitMs = result.ok ? undefined : result.failure.comeBackMs;
  if (waitMs === undefined || crowdedOut >= MAX_CROWDED_OUT) return null;
  return { kind: 'deferred', waitMs, crowdedOut: crowdedOut + 1 };
}

/**
 * What the log says of an attempt.
 *
 * @param shown what is kept of its request, null where none was sent
 * @param judged what the answer says of single events, null where it speaks of all
 */
export function describeAttempt(
  request: AttemptRequest,
  startedAtMs: number,
  shown: AttemptDetails['request'],
  result: AttemptEnd,
  nowMs: number,
  judged: Judged | null,
): { attempt: AttemptSummary; details: AttemptDetails; retryAfterMs?: number } {
  const failure = result.ok ? undefined : result.failure;
  const response = result.ok ? result.response : result.failure.response;
  const { outcome, retryAfterMs } = result.ok
    ? { ...classifyAnswer(result.response, nowMs), ...(judged && { outcome: judged.outcome }) }
    : { outcome: result.failure.kind, retryAfterMs: undefined };
  const errorCode = failure?.code ?? judged?.errorCode;
  return {
    attempt: {
      number: request.number,
      trigger: request.trigger,
      startedAtMs,
      durationMs: Math.round(result.durationMs),
      outcome,
      ...(response ? { statusCode: response.statusCode } : {}),
      ...(errorCode === undefined ? {} : { errorCode }),
    },
    details: {
      errorDetail: failure?.detail ?? judged?.errorDetail,
      request: shown,
      response: response && {
        headers: maskHeaders(response.headers),
        body: response.body,
        bodyEncoding: response.bodyEncoding,
        truncated: response.truncated,
      },
    },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}
