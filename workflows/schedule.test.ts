import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Outcome, RETRY_AFTER_CAP_MS } from './outcomes.js';
import {
  type Budget,
  type Decision,
  decide,
  JITTER,
  SCHEDULES,
  SHORT_BUDGET,
  spend,
  UNSPENT,
} from './schedule.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const START = Date.UTC(2026, 0, 1);

interface Answered {
  outcome: Outcome;
  retryAfterMs?: number;
  jitter?: number;
  durationMs?: number;
}

interface Made {
  startedAtMs: number;
  outcome: Outcome;
  decision: Decision;
}

/** Lives through a delivery whose receiver gives these answers, until it is over or they run out. */
function live(schedule: readonly number[], answers: Iterable<Answered>): Made[] {
  const made: Made[] = [];
  let budget: Budget = UNSPENT;
  let nowMs = START;
  for (const { outcome, retryAfterMs, jitter = 0, durationMs = 0 } of answers) {
    const startedAtMs = nowMs;
    budget = spend(budget, { outcome, startedAtMs });
    const decision = decide({
      budget,
      outcome,
      startedAtMs,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      schedule,
      jitter,
    });
    made.push({ startedAtMs, outcome, decision });
    if (decision.kind !== 'retry') return made;
    nowMs += durationMs + decision.delayMs;
  }
  return made;
}

const always = (answer: Answered): Answered[] => Array.from({ length: 100 }, () => answer);
const delays = (made: Made[]) =>
  made.flatMap(({ decision }) => (decision.kind === 'retry' ? [decision.delayMs] : []));

const anySchedule = fc.oneof(
  fc.constantFrom(...Object.values(SCHEDULES)),
  fc.array(fc.integer({ min: 0, max: 7 * 24 * 3600 }), { maxLength: 20 }),
);
const anyJitter = fc.double({ min: -1, max: 1, noNaN: true });
const failing = fc.constantFrom<Outcome>('transient', 'throttled', 'permanent', 'refused', 'transform');
const anyFailure: fc.Arbitrary<Answered> = fc.record(
  {
    outcome: failing,
    retryAfterMs: fc.integer({ min: 0, max: RETRY_AFTER_CAP_MS }),
    jitter: anyJitter,
    durationMs: fc.integer({ min: 0, max: 30 * SECOND }),
  },
  { requiredKeys: ['outcome', 'jitter', 'durationMs'] },
);

describe('the default schedule', () => {
  test('makes 10 attempts over 75 h 35 min 5 s, then gives up as exhausted', () => {
    const made = live(SCHEDULES.default, always({ outcome: 'transient' }));
    expect(made).toHaveLength(10);
    expect((made.at(-1)?.startedAtMs ?? 0) - START).toBe(75 * HOUR + 35 * MINUTE + 5 * SECOND);
    expect(made.at(-1)?.decision).toEqual({ kind: 'failed', reason: 'exhausted' });
  });

  test('waits as Standard Webhooks proposes', () => {
    expect(delays(live(SCHEDULES.default, always({ outcome: 'transient' })))).toEqual([
      5 * SECOND,
      5 * MINUTE,
      30 * MINUTE,
      2 * HOUR,
      5 * HOUR,
      10 * HOUR,
      14 * HOUR,
      20 * HOUR,
      24 * HOUR,
    ]);
  });
});

describe('every schedule', () => {
  test.each(Object.entries(SCHEDULES))('%s grows and never waits longer than a day', (_name, schedule) => {
    expect([...schedule].sort((a, b) => a - b)).toEqual([...schedule]);
    expect(Math.min(...schedule)).toBeGreaterThan(0);
    expect(Math.max(...schedule)).toBeLessThanOrEqual(24 * 3600);
  });

  test('allows one attempt more than it has delays', () => {
    fc.assert(
      fc.property(anySchedule, anyJitter, (schedule, jitter) => {
        const made = live(schedule, always({ outcome: 'transient', jitter }));
        expect(made).toHaveLength(schedule.length + 1);
        expect(made.at(-1)?.decision).toEqual({ kind: 'failed', reason: 'exhausted' });
      }),
    );
  });

  test('ends whatever the receiver answers, within its attempts', () => {
    fc.assert(
      fc.property(anySchedule, fc.infiniteStream(anyFailure), (schedule, answers) => {
        const made = live(schedule, answers);
        expect(made.length).toBeLessThanOrEqual(schedule.length + 1);
        expect(made.at(-1)?.decision.kind).toBe('failed');
      }),
    );
  });

  test('ends at the first success, however many failures came before', () => {
    fc.assert(
      fc.property(anySchedule, fc.array(anyFailure, { maxLength: 20 }), (schedule, failures) => {
        const made = live(schedule, [...failures, { outcome: 'delivered' }, ...failures]);
        const last = made.at(-1);
        expect(last?.decision.kind).toBe(last?.outcome === 'delivered' ? 'delivered' : 'failed');
        expect(made.filter(({ outcome }) => outcome === 'delivered').length).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('never moves an attempt into the past, and plans whole milliseconds', () => {
    fc.assert(
      fc.property(anySchedule, fc.array(anyFailure, { maxLength: 30 }), (schedule, answers) => {
        for (const delayMs of delays(live(schedule, answers))) {
          expect(delayMs).toBeGreaterThanOrEqual(0);
          expect(Number.isSafeInteger(delayMs)).toBe(true);
        }
      }),
    );
  });

  test('decides the same for the same input', () => {
    fc.assert(
      fc.property(anySchedule, fc.array(anyFailure, { maxLength: 30 }), (schedule, answers) => {
        expect(live(schedule, answers)).toEqual(live(schedule, answers));
      }),
    );
  });
});

describe('jitter', () => {
  test('lengthens or shortens a delay by a tenth at most', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 7 * 24 * 3600 }), { minLength: 1, maxLength: 20 }),
        anyJitter,
        (schedule, jitter) => {
          delays(live(schedule, always({ outcome: 'transient', jitter }))).forEach((delayMs, index) => {
            const plannedMs = (schedule[index] ?? 0) * SECOND;
            expect(delayMs).toBeGreaterThanOrEqual(Math.floor(plannedMs * (1 - JITTER)));
            expect(delayMs).toBeLessThanOrEqual(Math.ceil(plannedMs * (1 + JITTER)));
          });
        },
      ),
    );
  });

  test.each([
    [-1, 4_500],
    [0, 5_000],
    [0.5, 5_250],
    [1, 5_500],
  ])('of %d makes 5 s into %d ms', (jitter, delayMs) => {
    expect(delays(live([5], [{ outcome: 'transient', jitter }]))).toEqual([delayMs]);
  });
});

describe('Retry-After', () => {
  test('is waited for when it is longer than the backoff', () => {
    expect(delays(live([5], [{ outcome: 'throttled', retryAfterMs: 2 * HOUR }]))).toEqual([2 * HOUR]);
  });

  test('does not shorten a backoff that is longer', () => {
    expect(delays(live([3600], [{ outcome: 'throttled', retryAfterMs: SECOND }]))).toEqual([HOUR]);
  });

  test('is a floor that jitter does not undercut', () => {
    const asked = { outcome: 'throttled', retryAfterMs: 5 * SECOND, jitter: -1 } as const;
    expect(delays(live([5], [asked]))).toEqual([5 * SECOND]);
  });

  test('is never undercut on any schedule', () => {
    fc.assert(
      fc.property(
        anySchedule,
        fc.integer({ min: 0, max: RETRY_AFTER_CAP_MS }),
        anyJitter,
        (schedule, retryAfterMs, jitter) => {
          const made = live(schedule, always({ outcome: 'throttled', retryAfterMs, jitter }));
          expect(made).toHaveLength(schedule.length + 1);
          for (const delayMs of delays(made)) expect(delayMs).toBeGreaterThanOrEqual(retryAfterMs);
        },
      ),
    );
  });
});

describe('the short budget', () => {
  test.each<Outcome>(['permanent', 'refused'])(
    'gives three attempts within an hour to an answer that is %s',
    (outcome) => {
      const made = live(SCHEDULES.default, always({ outcome }));
      expect(delays(made)).toEqual([5 * SECOND, 5 * MINUTE]);
      expect(made.at(-1)?.decision).toEqual({ kind: 'failed', reason: 'permanent' });
    },
  );

  test('is not stretched by a schedule of long delays: what is left of the hour is shared', () => {
    expect(delays(live([86_400, 86_400, 86_400], always({ outcome: 'permanent' })))).toEqual([
      30 * MINUTE,
      30 * MINUTE,
    ]);
  });

  test('is not added to by a schedule that is shorter than it', () => {
    const made = live([1], always({ outcome: 'permanent' }));
    expect(made).toHaveLength(2);
    expect(made.at(-1)?.decision).toEqual({ kind: 'failed', reason: 'permanent' });
    expect(live([], always({ outcome: 'permanent' }))).toHaveLength(1);
  });

  test('counts permanent and refused answers together', () => {
    const made = live(SCHEDULES.default, [
      { outcome: 'permanent' },
      { outcome: 'refused' },
      { outcome: 'permanent' },
    ]);
    expect(made.at(-1)?.decision).toEqual({ kind: 'failed', reason: 'permanent' });
  });

  test('is not spent by transient failures in between', () => {
    const made = live(SCHEDULES.default, [
      { outcome: 'permanent' },
      { outcome: 'transient' },
      { outcome: 'permanent' },
      { outcome: 'throttled' },
    ]);
    expect(made.at(-1)?.decision.kind).toBe('retry');
  });

  test('is over when its hour has passed, even with attempts left', () => {
    const made = live(
      [60, 7_200, 60, 60],
      [{ outcome: 'permanent' }, { outcome: 'transient' }, { outcome: 'permanent' }],
    );
    expect(made.at(-1)?.decision).toEqual({ kind: 'failed', reason: 'permanent' });
  });

  test('begins with the first such answer, not with the first attempt', () => {
    const made = live(
      [60, 7_200, 60, 60],
      [
        { outcome: 'transient' },
        { outcome: 'transient' },
        { outcome: 'permanent' },
        { outcome: 'permanent' },
      ],
    );
    expect(made.map(({ decision }) => decision.kind)).toEqual(['retry', 'retry', 'retry', 'retry']);
  });

  test('holds on every schedule: at most three such answers, the next one never planned past the hour', () => {
    fc.assert(
      fc.property(anySchedule, fc.infiniteStream(anyFailure), (schedule, answers) => {
        const short = live(schedule, answers).filter(
          ({ outcome }) => outcome === 'permanent' || outcome === 'refused',
        );
        expect(short.length).toBeLessThanOrEqual(SHORT_BUDGET.attempts);
        const since = short[0]?.startedAtMs ?? 0;
        for (const { startedAtMs, decision } of short)
          if (decision.kind === 'retry')
            expect(startedAtMs + decision.delayMs - since).toBeLessThanOrEqual(SHORT_BUDGET.windowMs);
      }),
    );
  });
});

describe('a transformation that fails', () => {
  test('has the whole schedule, and nothing of the short budget', () => {
    const ended = live(SCHEDULES.default, always({ outcome: 'transform' }));
    expect(ended).toHaveLength(SCHEDULES.default.length + 1);
    expect(ended.at(-1)?.decision).toEqual({ kind: 'failed', reason: 'exhausted' });
    const budget = spend(UNSPENT, { outcome: 'transform', startedAtMs: 0 });
    expect(budget).toEqual({ attempts: 1, shortAttempts: 0, shortSinceMs: null });
  });
});

describe('an answer that settles it', () => {
  test.each<Outcome>(['gone', 'aborted', 'blocked'])('ends the delivery at once when it is %s', (outcome) => {
    fc.assert(
      fc.property(anySchedule, fc.array(anyFailure, { maxLength: 3 }), (schedule, before) => {
        const last = live(schedule, [...before, ...always({ outcome })]).at(-1);
        if (last?.outcome === outcome) expect(last.decision).toEqual({ kind: 'failed', reason: outcome });
        else expect(last?.decision.kind).toBe('failed');
      }),
    );
    expect(live(SCHEDULES.default, always({ outcome }))).toHaveLength(1);
  });

  test('counts even on the last attempt of the schedule', () => {
    expect(live([], [{ outcome: 'delivered' }])[0]?.decision).toEqual({ kind: 'delivered' });
    expect(live([], [{ outcome: 'gone' }])[0]?.decision).toEqual({ kind: 'failed', reason: 'gone' });
  });
});

describe('what is spent', () => {
  test('starts the short window at its first answer and leaves it there', () => {
    const spent = [
      { outcome: 'transient', startedAtMs: 1 },
      { outcome: 'refused', startedAtMs: 2 },
      { outcome: 'permanent', startedAtMs: 3 },
    ] as const;
    expect(spent.reduce<Budget>(spend, UNSPENT)).toEqual({ attempts: 3, shortAttempts: 2, shortSinceMs: 2 });
  });

  test('leaves the budget it was given as it was', () => {
    const before = { ...UNSPENT };
    spend(UNSPENT, { outcome: 'permanent', startedAtMs: 1 });
    expect(UNSPENT).toEqual(before);
  });
});
