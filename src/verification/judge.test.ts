import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { TransportResult } from '../transport/types.js';
import { allowedRate, judge, nextTryInMs, TRIES_FOR_MS } from './judge.js';

const asked = { challenge: 'c4a11e9e', origin: 'hooks.provider.example' };
const answer = (statusCode: number, body = '', headers: Record<string, string> = {}): TransportResult => ({
  ok: true,
  durationMs: 1,
  response: { statusCode, headers, body, bodyEncoding: 'utf8', truncated: false },
});
const refused: TransportResult = {
  ok: false,
  durationMs: 1,
  failure: { code: 'connect_refused', detail: 'nobody listens', kind: 'transient' },
};

describe('the answer to a verification request', () => {
  it.each(['ping', 'challenge', 'handshake'] as const)('fails for %s where there is none', (method) => {
    expect(judge(method, refused, asked)).toEqual({
      ok: false,
      code: 'connect_refused',
      detail: 'nobody listens',
    });
  });

  it('is any 2xx to a ping, and nothing else', () => {
    expect(judge('ping', answer(204), asked)).toEqual({ ok: true });
    for (const status of [199, 301, 404, 500]) {
      expect(judge('ping', answer(status), asked)).toMatchObject({ ok: false, code: `http_${status}` });
    }
  });

  it.each([
    ['as text', ' c4a11e9e\n'],
    ['as JSON text', '"c4a11e9e"'],
    ['as a JSON object', '{"challenge":"c4a11e9e","more":1}'],
  ])('repeats the challenge %s', (_how, body) => {
    expect(judge('challenge', answer(200, body), asked)).toEqual({ ok: true });
    expect(judge('challenge', answer(500, body), asked)).toMatchObject({ code: 'http_500' });
  });

  it.each([
    '',
    'ok',
    '{"challenge":"other"}',
    '{"data":{"challenge":"c4a11e9e"}}',
    '[]',
    'null',
    'xc4a11e9e',
  ])('does not repeat it with %j', (body) => {
    expect(judge('challenge', answer(200, body), asked)).toMatchObject({ code: 'challenge_not_repeated' });
  });

  it.each([
    ['hooks.provider.example', undefined, { ok: true }],
    ['HOOKS.provider.example', '120', { ok: true, perSecond: 2 }],
    ['*', '*', { ok: true, perSecond: null }],
    ['*', 'many', { ok: true }],
  ])(
    'gives leave by WebHook-Allowed-Origin: %s and rate %s, whatever its status',
    (origin, rate, verdict) => {
      const headers = {
        'webhook-allowed-origin': origin,
        ...(rate === undefined ? {} : { 'webhook-allowed-rate': rate }),
      };
      expect(judge('handshake', answer(405, '', headers), asked)).toEqual(verdict);
    },
  );

  it('gives no leave without the header, or for another origin', () => {
    expect(judge('handshake', answer(200), asked)).toMatchObject({ code: 'handshake_not_answered' });
    const other = { 'webhook-allowed-origin': 'provider.example' };
    expect(judge('handshake', answer(200, '', other), asked)).toMatchObject({ code: 'handshake_refused' });
  });

  it('allows a rate that an endpoint can have, whatever it says', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.integer().map(String)), (text) => {
        const rate = allowedRate(text);
        expect(typeof rate !== 'number' || (rate >= 0.01 && rate <= 10_000)).toBe(true);
      }),
    );
  });
});

describe('the tries of a verification', () => {
  it('come at once, soon, and by the hour for a day', () => {
    const tries = [0];
    for (
      let inMs = nextTryInMs(1, 0, 0);
      inMs !== null;
      inMs = nextTryInMs(tries.length, 0, tries.at(-1) ?? 0)
    ) {
      tries.push((tries.at(-1) ?? 0) + inMs);
    }
    expect(tries.slice(0, 4)).toEqual([0, 10_000, 70_000, 370_000]);
    expect(tries.length).toBeGreaterThan(24);
    expect(TRIES_FOR_MS - (tries.at(-1) ?? 0)).toBeLessThan(3_600_000);
  });
});
