import type { TransportResult } from '../transport/types.js';

/** Bytes of an answer at most. */
export const MAX_ANSWER_BYTES = 64 * 1024;

/** What a lookup came to. */
export type Answer =
  | { kind: 'found'; /** JSON text, as it was answered. */ json: string }
  /** Told to people: it repeats nothing of the URL. */
  | { kind: 'failed'; detail: string };

/** @param timeoutMs that the request had */
export function readAnswer(result: TransportResult, timeoutMs: number): Answer {
  if (!result.ok) {
    const { code } = result.failure;
    const late = code === 'response_timeout' || code === 'response_body_timeout';
    return failed(late ? `no whole answer within ${timeoutMs} ms (${code})` : `no answer (${code})`);
  }
  const { statusCode, whole } = result.response;
  if (statusCode < 200 || statusCode > 299) return failed(`the answer is ${statusCode}`);
  if (whole === undefined || !isJson(whole))
    return failed(`the answer is not JSON of ${MAX_ANSWER_BYTES} bytes at most`);
  return { kind: 'found', json: whole.trim() };
}

const failed = (detail: string): Answer => ({ kind: 'failed', detail });

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
