import type { Outcome } from './outcomes.js';

const MINUTE = 60;
const HOUR = 3600;

/**
 * Named retry schedules: seconds to wait after each failed attempt. `default` is the schedule that
 * Standard Webhooks 1.0 ("Retry schedule") proposes: 10 attempts over 75 h 35 min.
 */
export const SCHEDULES = {
  default: [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR],
  patient: [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 24 * HOUR],
  critical: [
    1,
    5,
    15,
    MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    24 * HOUR,
    24 * HOUR,
  ],
  free: [MINUTE, 30 * MINUTE, 4 * HOUR],
} as const satisfies Record<string, readonly number[]>;

export type ScheduleName = keyof typeof SCHEDULES;

/** Share of a delay by which it is lengthened or shortened at random, so that one outage does not end in one stampede. */
export const JITTER = 0.1;

/** Answers that will hardly change (3xx, 4xx) get this many attempts within this window, the length of a bad deploy. */
export const SHORT_BUDGET = { attempts: 3, windowMs: HOUR * 1000 } as const;

/** What a delivery has spent of its retries since it was published or last retried by hand. */
export interface Budget {
  attempts: number;
  /** Attempts answered `permanent` or `refused`, and when the first of them started (unix milliseconds). */
  shortAttempts: number;
  shortSinceMs: number | null;
}

export const UNSPENT: Budget = { attempts: 0, shortAttempts: 0, shortSinceMs: null };

export function spend(budget: Budget, attempt: { outcome: Outcome; startedAtMs: number }): Budget {
  const short = attempt.outcome === 'permanent' || attempt.outcome === 'refused';
  return {
    attempts: budget.attempts + 1,
    shortAttempts: budget.shortAttempts + (short ? 1 : 0),
    shortSinceMs: short ? (budget.shortSinceMs ?? attempt.startedAtMs) : budget.shortSinceMs,
  };
}

export type FailureReason = 'exhausted' | 'permanent' | 'gone' | 'aborted' | 'blocked';

export type Decision =
  { kind: 'delivered' } | { kind: 'retry'; delayMs: number } | { kind: 'failed'; reason: FailureReason };

export interface DecisionInput {
  /** What was spent, this attempt included. */
  budget: Budget;
  outcome: Outcome;
  startedAtMs: number;
  retryAfterMs?: number;
  /** Seconds after each failed attempt. */
  schedule: readonly number[];
  /** Random, -1 to 1. Drawn by the caller, so that workflows stay deterministic and tests own it. */
  jitter: number;
}

/** What follows an attempt: nothing more, another one after a delay, or giving up. */
export function decide(input: DecisionInput): Decision {
  const { budget, outcome } = input;
  switch (outcome) {
    case 'delivered':
      return { kind: 'delivered' };
    case 'gone':
    case 'aborted':
    case 'blocked':
      return { kind: 'failed', reason: outcome };
    case 'transient':
    case 'throttled':
    case 'permanent':
    case 'refused':
    case 'transform':
      break;
  }
  const seconds = input.schedule[budget.attempts - 1];
  const short = outcome === 'permanent' || outcome === 'refused';
  if (short && budget.shortAttempts >= SHORT_BUDGET.attempts) return { kind: 'failed', reason: 'permanent' };
  if (seconds === undefined) return { kind: 'failed', reason: short ? 'permanent' : 'exhausted' };
  const delayMs = Math.round(seconds * 1000 * (1 + JITTER * input.jitter));
  if (short) {
    // The attempts that are left share what is left of the window, so a long schedule does not stretch the short budget.
    const left = SHORT_BUDGET.windowMs - (input.startedAtMs - (budget.shortSinceMs ?? input.startedAtMs));
    if (left <= 0) return { kind: 'failed', reason: 'permanent' };
    const share = Math.floor(left / (SHORT_BUDGET.attempts - budget.shortAttempts));
    return { kind: 'retry', delayMs: Math.min(delayMs, share) };
  }
  return { kind: 'retry', delayMs: Math.max(delayMs, input.retryAfterMs ?? 0) };
}
