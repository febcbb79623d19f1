import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { AttemptSummary, DeliveryLog } from './contracts.js';
import { describeDelivery } from './details.js';

const STARTED = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

const attempt = (number: number, rest: Partial<AttemptSummary> = {}): AttemptSummary => ({
  number,
  trigger: 'schedule',
  startedAtMs: STARTED,
  durationMs: 42,
  outcome: 'transient',
  statusCode: 503,
  ...rest,
});

const log = (rest: Partial<DeliveryLog> = {}): DeliveryLog => ({
  state: 'waiting',
  attempts: [attempt(1)],
  nextAttemptAtMs: null,
  ...rest,
});

const headline = (description: string) => description.split('\n')[0];

describe('the headline', () => {
  test('counts the attempt that is under way', () => {
    const state = 'attempting';
    expect(describeDelivery(log({ state, attempts: [] }), null)).toBe('Attempt 1 is under way.');
    expect(headline(describeDelivery(log({ state }), 10))).toBe('Attempt 2 of 10 is under way.');
  });

  test('says when the next attempt is', () => {
    expect(headline(describeDelivery(log({ nextAttemptAtMs: STARTED }), 10))).toBe(
      '1 of 10 attempts made. Next attempt at 2026-01-02T03:04:05.678Z.',
    );
  });

  test('names no total while none is known', () => {
    expect(headline(describeDelivery(log(), null))).toBe('1 attempt made.');
    expect(headline(describeDelivery(log({ attempts: [attempt(1), attempt(2)] }), null))).toBe(
      '2 attempts made.',
    );
  });

  test('says why nothing moves while the endpoint is paused', () => {
    expect(headline(describeDelivery(log({ state: 'held' }), 10))).toBe(
      'Held: the endpoint is paused, or its circuit is open. 1 attempt made.',
    );
    expect(describeDelivery(log({ state: 'held', attempts: [] }), null)).toBe(
      'Held: the endpoint is paused, or its circuit is open. 0 attempts made.',
    );
  });

  test('says that it is over', () => {
    expect(headline(describeDelivery(log({ state: 'ended' }), 10))).toBe('Ended after 1 attempt.');
  });

  test('counts by number where only the latest attempts are carried', () => {
    const attempts = [attempt(149), attempt(150)];
    expect(headline(describeDelivery(log({ attempts }), 160))).toBe('150 of 160 attempts made.');
  });
});

describe('the table', () => {
  test('has a row for each attempt, with its answer or its error', () => {
    const attempts = [
      attempt(1, { outcome: 'throttled', statusCode: 429 }),
      {
        number: 2,
        trigger: 'manual',
        startedAtMs: STARTED,
        durationMs: 5_000,
        outcome: 'transient',
        errorCode: 'connect_timeout',
      },
      { number: 3, trigger: 'schedule', startedAtMs: STARTED, durationMs: 0, outcome: 'blocked' },
    ] satisfies AttemptSummary[];
    expect(describeDelivery(log({ attempts }), 10).split('\n').slice(2)).toEqual([
      '| attempt | trigger | started | took | outcome | answer |',
      '| --- | --- | --- | --- | --- | --- |',
      '| 1 | schedule | 2026-01-02T03:04:05.678Z | 42 ms | throttled | 429 |',
      '| 2 | manual | 2026-01-02T03:04:05.678Z | 5000 ms | transient | connect_timeout |',
      '| 3 | schedule | 2026-01-02T03:04:05.678Z | 0 ms | blocked |  |',
    ]);
  });

  test('is left out before the first attempt', () => {
    expect(describeDelivery(log({ attempts: [] }), null)).not.toContain('|');
  });

  test('is one headline, one empty line and as many rows as attempts, in every state', () => {
    const anyLog = fc.record({
      state: fc.constantFrom<DeliveryLog['state']>('attempting', 'waiting', 'held', 'ended'),
      attempts: fc
        .integer({ min: 1, max: 120 })
        .map((count) => Array.from({ length: count }, (_, index) => attempt(index + 1))),
      nextAttemptAtMs: fc.option(fc.integer({ min: 0, max: 4_102_444_800_000 })),
    });
    fc.assert(
      fc.property(anyLog, fc.option(fc.nat()), (described, total) => {
        const [first, second, ...table] = describeDelivery(described, total).split('\n');
        expect(first).not.toBe('');
        expect(second).toBe('');
        expect(table).toHaveLength(described.attempts.length + 2);
      }),
    );
  });
});
