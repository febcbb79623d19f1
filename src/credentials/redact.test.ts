import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { TransportResult } from '../transport/types.js';
import { redactResult } from './redact.js';

const SECRET = 'the-secret-of-it';
const answered = (body: string, bodyEncoding: 'utf8' | 'base64' = 'utf8'): TransportResult => ({
  ok: true,
  durationMs: 1,
  response: {
    statusCode: 200,
    headers: { 'x-echo': `Bearer ${SECRET}` },
    body,
    bodyEncoding,
    truncated: false,
  },
});

describe('an answer that repeats a secret', () => {
  it('is kept without it, wherever in it that stands', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, after) => {
        const text = JSON.stringify(redactResult(answered(`${before}${SECRET}${after}${SECRET}`), [SECRET]));
        expect(text).not.toContain(SECRET);
      }),
    );
  });

  it('is kept without it, however it is spelled', () => {
    const secret = 'a/b+c "d" e\\f=';
    const base = answered(
      [
        JSON.stringify(secret),
        JSON.stringify(secret).replaceAll('/', '\\/'),
        encodeURIComponent(secret),
        encodeURIComponent(secret).replaceAll('%20', '+'),
      ].join(' '),
    );
    expect(redactResult(base, [secret])).toMatchObject({ response: { body: '"***" "***" *** ***' } });
  });

  it('is kept without the beginning of it that it was cut off in', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 8, max: SECRET.length - 1 }), (before, length) => {
        const whole = answered(`${before}${SECRET.slice(0, length)}`);
        const cut = { ...whole, response: { ...(whole as { response: object }).response, truncated: true } };
        expect(redactResult(cut as TransportResult, [SECRET])).toMatchObject({
          response: { body: `${before}***` },
        });
      }),
    );
  });

  it('is kept without its body where that is binary', () => {
    const binary = Buffer.concat([Buffer.from([0, 255]), Buffer.from(SECRET)]).toString('base64');
    expect(redactResult(answered(binary, 'base64'), [SECRET])).toMatchObject({
      response: { body: '***', bodyEncoding: 'utf8', headers: { 'x-echo': 'Bearer ***' } },
    });
  });

  it('is kept without it where it comes with a failure', () => {
    const { response } = answered(SECRET) as TransportResult & { ok: true };
    const failure = { code: 'response_incomplete', detail: '', kind: 'transient' as const, response };
    const kept = redactResult({ ok: false, durationMs: 1, failure }, [SECRET]);
    expect(JSON.stringify(kept)).not.toContain(SECRET);
  });

  it('loses the longer of two secrets whole', () => {
    expect(redactResult(answered(`${SECRET}-longer`), [SECRET, `${SECRET}-longer`])).toMatchObject({
      response: { body: '***' },
    });
  });

  it('is left as it is where there is nothing to hide, or it is too short to be looked for', () => {
    const result = answered('a whole answer');
    expect(redactResult(result, [])).toBe(result);
    expect(redactResult(result, ['', 'whole'])).toBe(result);
    const failure = { code: 'connect_refused', detail: '', kind: 'transient' as const };
    const unanswered: TransportResult = { ok: false, durationMs: 1, failure };
    expect(redactResult(unanswered, [SECRET])).toBe(unanswered);
  });
});
