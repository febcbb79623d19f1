/**
 * What one answer of a receiver means for the delivery.
 *
 * | class | answers | what follows |
 * | --- | --- | --- |
 * | delivered | 2xx | done |
 * | transient | no answer at all, 408, 425, 5xx | the whole schedule |
 * | throttled | 429, 503 with `Retry-After` | the whole schedule, not before `Retry-After` |
 * | refused | 3xx | short budget: a redirect is never followed |
 * | permanent | other 4xx | short budget: receivers break for the length of a deploy |
 * | gone | 410, `webhook-delivery: disable` | no more attempts, the endpoint is disabled |
 * | aborted | `webhook-delivery: abort-message` | no more attempts for this event |
 * | blocked | the address is refused by the egress rules | never sent, not retried |
 * | transform | none: the endpoint's transformation failed | never sent, the whole schedule |
 */
export type Outcome =
  | 'delivered'
  | 'transient'
  | 'throttled'
  | 'refused'
  | 'permanent'
  | 'gone'
  | 'aborted'
  | 'blocked'
  | 'transform';

/** Milliseconds that a receiver may ask for at most. */
export const RETRY_AFTER_CAP_MS = 24 * 60 * 60 * 1000;

export interface Answer {
  statusCode: number;
  /** Names in lower case. */
  headers: Readonly<Record<string, string>>;
}

export interface Classified {
  outcome: Outcome;
  /** Milliseconds from now before which no attempt may start; present for `throttled` only. */
  retryAfterMs?: number;
}

/**
 * Sorts an answer by the table above.
 *
 * @param nowMs the clock that a `Retry-After` date is read against, unix milliseconds
 */
export function classifyAnswer(answer: Answer, nowMs: number): Classified {
  const directive = answer.headers['webhook-delivery']?.trim().toLowerCase();
  const { statusCode } = answer;
  if (statusCode === 410 || directive === 'disable') return { outcome: 'gone' };
  if (statusCode >= 200 && statusCode < 300) return { outcome: 'delivered' };
  if (directive === 'abort-message') return { outcome: 'aborted' };
  const retryAfterMs = parseRetryAfter(answer.headers['retry-after'], nowMs);
  if (statusCode === 429)
    return retryAfterMs === null ? { outcome: 'throttled' } : { outcome: 'throttled', retryAfterMs };
  if (statusCode === 503 && retryAfterMs !== null) return { outcome: 'throttled', retryAfterMs };
  if (statusCode === 408 || statusCode === 425 || statusCode >= 500) return { outcome: 'transient' };
  if (statusCode >= 400) return { outcome: 'permanent' };
  // 3xx, and a 1xx as the last word, which only a broken receiver sends.
  return statusCode >= 300 ? { outcome: 'refused' } : { outcome: 'transient' };
}

/**
 * Reads `Retry-After` (RFC 9110 §10.2.3): whole seconds or an HTTP date.
 *
 * @returns milliseconds from `nowMs`, 0 to {@link RETRY_AFTER_CAP_MS}; null when absent or unreadable
 */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | null {
  const text = value?.trim();
  if (text === undefined || text === '') return null;
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1000, RETRY_AFTER_CAP_MS);
  // Date.parse takes much that is no HTTP date ("1", "-5"); all three forms of RFC 9110 §5.6.7 begin with a weekday.
  if (!/^(mon|tue|wed|thu|fri|sat|sun)[a-z]*,? /i.test(text)) return null;
  const at = Date.parse(/ (gmt|utc)$/i.test(text) ? text : `${text} GMT`);
  if (Number.isNaN(at)) return null;
  return Math.min(Math.max(at - nowMs, 0), RETRY_AFTER_CAP_MS);
}
