import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { classifyAnswer, type Outcome, parseRetryAfter, RETRY_AFTER_CAP_MS } from './outcomes.js';

const SECOND = 1_000;
const NOW = Date.UTC(2026, 6, 15, 12, 0, 0);

const classify = (statusCode: number, headers: Record<string, string> = {}) =>
  classifyAnswer({ statusCode, headers }, NOW);

/** The failure table of the design, status by status, for an answer without any header. */
function byTheTable(statusCode: number): Outcome {
  if (statusCode >= 200 && statusCode <= 299) return 'delivered';
  if (statusCode >= 300 && statusCode <= 399) return 'refused';
  if (statusCode === 410) return 'gone';
  if (statusCode === 429) return 'throttled';
  if (statusCode === 408 || statusCode === 425) return 'transient';
  if (statusCode >= 400 && statusCode <= 499) return 'permanent';
  return 'transient';
}

const anyStatus = fc.integer({ min: 100, max: 599 });

describe('the failure table', () => {
  test('sorts every status code from 100 to 599 into its one class', () => {
    for (let statusCode = 100; statusCode <= 599; statusCode += 1)
      expect({ statusCode, ...classify(statusCode) }).toEqual({
        statusCode,
        outcome: byTheTable(statusCode),
      });
  });

  test.each<[number, Outcome]>([
    [101, 'transient'],
    [200, 'delivered'],
    [204, 'delivered'],
    [299, 'delivered'],
    [301, 'refused'],
    [304, 'refused'],
    [308, 'refused'],
    [400, 'permanent'],
    [401, 'permanent'],
    [404, 'permanent'],
    [408, 'transient'],
    [410, 'gone'],
    [422, 'permanent'],
    [425, 'transient'],
    [429, 'throttled'],
    [500, 'transient'],
    [502, 'transient'],
    [503, 'transient'],
    [599, 'transient'],
  ])('answers %d: %s', (statusCode, outcome) => {
    expect(classify(statusCode)).toEqual({ outcome });
  });

  test('lets a status alone decide: headers that say nothing to us change nothing', () => {
    const strangers = fc.dictionary(
      fc.string().filter((name) => name !== 'webhook-delivery' && name !== 'retry-after'),
      fc.string(),
    );
    fc.assert(
      fc.property(anyStatus, strangers, (statusCode, headers) => {
        expect(classify(statusCode, headers)).toEqual({ outcome: byTheTable(statusCode) });
      }),
    );
  });

  test('throttles a 503 only where it says when to come back', () => {
    expect(classify(503, { 'retry-after': '30' })).toEqual({
      outcome: 'throttled',
      retryAfterMs: 30 * SECOND,
    });
    expect(classify(503, { 'retry-after': 'soon' })).toEqual({ outcome: 'transient' });
  });

  test('throttles a 429 whether or not it says when to come back', () => {
    expect(classify(429, { 'retry-after': '30' })).toEqual({
      outcome: 'throttled',
      retryAfterMs: 30 * SECOND,
    });
    expect(classify(429, { 'retry-after': 'soon' })).toEqual({ outcome: 'throttled' });
  });

  test('heeds Retry-After on no other status', () => {
    fc.assert(
      fc.property(
        anyStatus.filter((statusCode) => statusCode !== 429 && statusCode !== 503),
        (statusCode) => {
          expect(classify(statusCode, { 'retry-after': '30' })).toEqual({ outcome: byTheTable(statusCode) });
        },
      ),
    );
  });
});

describe('the webhook-delivery directive', () => {
  test('disable means gone, whatever the status', () => {
    fc.assert(
      fc.property(anyStatus, (statusCode) => {
        expect(classify(statusCode, { 'webhook-delivery': 'disable' })).toEqual({ outcome: 'gone' });
      }),
    );
  });

  test('abort-message means aborted, unless the answer was a success or 410', () => {
    fc.assert(
      fc.property(anyStatus, (statusCode) => {
        const outcome =
          statusCode === 410 ? 'gone' : statusCode >= 200 && statusCode < 300 ? 'delivered' : 'aborted';
        expect(classify(statusCode, { 'webhook-delivery': 'abort-message' })).toEqual({ outcome });
      }),
    );
  });

  test('abort-message outweighs a Retry-After', () => {
    const headers = { 'webhook-delivery': 'abort-message', 'retry-after': '30' };
    expect(classify(503, headers)).toEqual({ outcome: 'aborted' });
  });

  test.each(['Disable', ' disable ', 'DISABLE\t'])(
    'is read without regard to case and blanks: %j',
    (value) => {
      expect(classify(500, { 'webhook-delivery': value })).toEqual({ outcome: 'gone' });
    },
  );

  test.each(['', 'disabled', 'disable, abort-message', 'abort', 'please stop'])(
    'is ignored when it is not a known word: %j',
    (value) => {
      expect(classify(500, { 'webhook-delivery': value })).toEqual({ outcome: 'transient' });
      expect(classify(200, { 'webhook-delivery': value })).toEqual({ outcome: 'delivered' });
    },
  );
});

describe('Retry-After', () => {
  test.each<[string, number]>([
    ['0', 0],
    ['1', SECOND],
    ['120', 120 * SECOND],
    [' 120 ', 120 * SECOND],
    ['007', 7 * SECOND],
    ['86400', RETRY_AFTER_CAP_MS],
    ['86401', RETRY_AFTER_CAP_MS],
    ['999999999999', RETRY_AFTER_CAP_MS],
    ['9'.repeat(400), RETRY_AFTER_CAP_MS],
  ])('%j seconds are %d ms', (value, expected) => {
    expect(parseRetryAfter(value, NOW)).toBe(expected);
  });

  test.each<[form: string, value: string]>([
    ['IMF-fixdate', 'Wed, 15 Jul 2026 12:02:00 GMT'],
    ['the obsolete RFC 850 form', 'Wednesday, 15-Jul-26 12:02:00 GMT'],
    ["the obsolete form of C's asctime()", 'Wed Jul 15 12:02:00 2026'],
    ['a date in lower case', 'wed, 15 jul 2026 12:02:00 gmt'],
  ])('reads %s: %s', (_form, value) => {
    expect(parseRetryAfter(value, NOW)).toBe(120 * SECOND);
  });

  test('reads an asctime() date whose day has one digit', () => {
    expect(parseRetryAfter('Wed Jul  1 00:00:10 2026', Date.UTC(2026, 6, 1))).toBe(10 * SECOND);
  });

  test('takes a date in the past as now', () => {
    expect(parseRetryAfter('Sun, 06 Nov 1994 08:49:37 GMT', NOW)).toBe(0);
    expect(parseRetryAfter('Sunday, 06-Nov-94 08:49:37 GMT', NOW)).toBe(0);
    expect(parseRetryAfter('Sun Nov  6 08:49:37 1994', NOW)).toBe(0);
  });

  test('caps a date that is far away at 24 h', () => {
    expect(parseRetryAfter('Fri, 31 Dec 9999 23:59:59 GMT', NOW)).toBe(RETRY_AFTER_CAP_MS);
  });

  test.each([
    '',
    '   ',
    '-1',
    '+5',
    '1.5',
    '1e3',
    '0x10',
    '120, 120',
    '120s',
    'soon',
    'NaN',
    'Infinity',
    'null',
    '2026-07-15T12:02:00Z',
    '15 Jul 2026 12:02:00 GMT',
    'Wed, 32 Jul 2026 12:02:00 GMT',
    'Wed, soon',
    'Wednesday',
  ])('ignores what is neither seconds nor an HTTP date: %j', (value) => {
    expect(parseRetryAfter(value, NOW)).toBeNull();
  });

  test('is null where there is none', () => {
    expect(parseRetryAfter(undefined, NOW)).toBeNull();
  });

  test('reads any moment within a day to the second, whatever its form', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 86_400 }), (seconds) => {
        const fixdate = new Date(NOW + seconds * SECOND).toUTCString();
        expect(parseRetryAfter(fixdate, NOW)).toBe(seconds * SECOND);
        expect(parseRetryAfter(String(seconds), NOW)).toBe(seconds * SECOND);
      }),
    );
  });

  test('never throws and never leaves 0 to 24 h, whatever a receiver sends', () => {
    const garbage = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string().map((rest) => `Mon, ${rest}`),
      fc.bigInt().map(String),
      fc.date({ noInvalidDate: true }).map((date) => date.toUTCString()),
    );
    fc.assert(
      fc.property(garbage, (value) => {
        const ms = parseRetryAfter(value, NOW);
        if (ms === null) return;
        expect(ms).toBeGreaterThanOrEqual(0);
        expect(ms).toBeLessThanOrEqual(RETRY_AFTER_CAP_MS);
      }),
      { numRuns: 500 },
    );
  });
});
