import type { TransportResult } from '../transport/types.js';

/** How an endpoint's receiver shows that it wants deliveries. `none`: it need not. */
export const VERIFICATIONS = ['none', 'ping', 'challenge', 'handshake'] as const;
export type Verification = (typeof VERIFICATIONS)[number];

export type Verdict =
  | {
      ok: true;
      /** What the receiver allows, deliveries a second; undefined where it says nothing of it, null for no limit. */
      perSecond?: number | null;
    }
  | { ok: false; code: string; detail: string };

/**
 * What the answer to a verification request says.
 *
 * @param challenge that a receiver of `challenge` has to repeat
 * @param origin that a receiver of `handshake` has to allow
 */
export function judge(
  method: Exclude<Verification, 'none'>,
  result: TransportResult,
  { challenge, origin }: { challenge: string; origin: string },
): Verdict {
  if (!result.ok) return { ok: false, code: result.failure.code, detail: result.failure.detail };
  const { statusCode, headers, body } = result.response;
  switch (method) {
    case 'ping':
      return isSuccess(statusCode) ? { ok: true } : unwanted(statusCode);
    case 'challenge':
      if (!isSuccess(statusCode)) return unwanted(statusCode);
      return repeats(body, challenge)
        ? { ok: true }
        : {
            ok: false,
            code: 'challenge_not_repeated',
            detail: 'The answer must be the challenge, as text or as JSON `{"challenge": "…"}`.',
          };
    case 'handshake':
      // Its status says nothing: many a server answers 200 to any OPTIONS (CloudEvents HTTP webhook 1.0 §4.2).
      return judgeLeave(headers, origin);
  }
}

/** Reads `WebHook-Allowed-Origin` and `WebHook-Allowed-Rate` (CloudEvents HTTP webhook 1.0 §4.2). */
function judgeLeave(headers: Readonly<Record<string, string>>, origin: string): Verdict {
  const allowed = headers['webhook-allowed-origin']?.trim();
  if (allowed === undefined || allowed === '') {
    return {
      ok: false,
      code: 'handshake_not_answered',
      detail: `The answer to OPTIONS has no \`WebHook-Allowed-Origin: ${origin}\`.`,
    };
  }
  if (allowed !== '*' && allowed.toLowerCase() !== origin.toLowerCase()) {
    return {
      ok: false,
      code: 'handshake_refused',
      detail: `\`WebHook-Allowed-Origin\` must be \`${origin}\` or \`*\`.`,
    };
  }
  const perSecond = allowedRate(headers['webhook-allowed-rate']);
  return perSecond === undefined ? { ok: true } : { ok: true, perSecond };
}

/** Slower than an endpoint's own limit can be. */
const LEAST_PER_SECOND = 0.01;
const MOST_PER_SECOND = 10_000;

/** @param perMinute the header. @returns deliveries a second; null for `*`, undefined for what says nothing */
export function allowedRate(perMinute: string | undefined): number | null | undefined {
  const text = perMinute?.trim();
  if (text === '*') return null;
  if (text === undefined || !/^[1-9]\d{0,9}$/.test(text)) return undefined;
  return Math.min(Math.max(Number(text) / 60, LEAST_PER_SECOND), MOST_PER_SECOND);
}

const isSuccess = (status: number): boolean => status >= 200 && status < 300;

const unwanted = (status: number): Verdict => ({
  ok: false,
  code: `http_${status}`,
  detail: `The receiver answered ${status} instead of 2xx.`,
});

function repeats(body: string, challenge: string): boolean {
  const text = body.trim();
  if (text === challenge) return true;
  try {
    const value: unknown = JSON.parse(text);
    return (
      value === challenge ||
      (typeof value === 'object' &&
        value !== null &&
        (value as Record<string, unknown>).challenge === challenge)
    );
  } catch {
    return false;
  }
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** After each failed try; the last one over and over. */
const DELAYS_MS = [10_000, MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS];
/** For so long it is tried again. */
export const TRIES_FOR_MS = 24 * HOUR_MS;

/**
 * When to try again.
 *
 * @param attempts made so far, at least 1
 * @returns milliseconds; null when the day is over
 */
export function nextTryInMs(attempts: number, startedAtMs: number, nowMs: number): number | null {
  const delayMs = DELAYS_MS[Math.min(attempts, DELAYS_MS.length) - 1] ?? HOUR_MS;
  return nowMs + delayMs > startedAtMs + TRIES_FOR_MS ? null : delayMs;
}
