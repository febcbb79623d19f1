import { describe, expect, test } from '@jest/globals';
import type { OutgoingResponse, TransportResult } from '../transport/types.js';
import { readAnswer } from './answer.js';

const answered = (response: Partial<OutgoingResponse>): TransportResult => ({
  ok: true,
  durationMs: 1,
  response: { statusCode: 200, headers: {}, body: '', bodyEncoding: 'utf8', truncated: false, ...response },
});
const unanswered = (code: string): TransportResult => ({
  ok: false,
  durationMs: 1,
  failure: { code, detail: 'internal-host is down', kind: 'transient' },
});

describe('what a lookup is answered', () => {
  test.each(['{"a":1.0,"a":12345678901234567890}', '"text"', 'null', '0', '[]', ' \n{ "a": 1 }\n'])(
    'is taken as it is: %s',
    (body) => {
      expect(readAnswer(answered({ whole: body }), 100)).toEqual({ kind: 'found', json: body.trim() });
      expect(readAnswer(answered({ whole: body, statusCode: 203 }), 100)).toEqual({
        kind: 'found',
        json: body.trim(),
      });
    },
  );

  test.each<[Partial<OutgoingResponse>, string]>([
    [{ statusCode: 500 }, 'the answer is 500'],
    [{ statusCode: 404 }, 'the answer is 404'],
    [{ statusCode: 302, headers: { location: 'http://10.0.0.1/' } }, 'the answer is 302'],
    [{ whole: '' }, 'the answer is not JSON of 65536 bytes at most'],
    [{ whole: '{"a":1' }, 'the answer is not JSON of 65536 bytes at most'],
    [{ whole: '{"a":1}}' }, 'the answer is not JSON of 65536 bytes at most'],
    [{ whole: '<html>' }, 'the answer is not JSON of 65536 bytes at most'],
    [{ body: '{}' }, 'the answer is not JSON of 65536 bytes at most'],
  ])('is none: %j', (response, detail) => {
    expect(readAnswer(answered(response), 100)).toEqual({ kind: 'failed', detail });
  });

  test.each([
    ['connect_refused', 'no answer (connect_refused)'],
    ['response_timeout', 'no whole answer within 250 ms (response_timeout)'],
    ['response_body_timeout', 'no whole answer within 250 ms (response_body_timeout)'],
  ])('is missing, by the code %s alone', (code, detail) => {
    expect(readAnswer(unanswered(code), 250)).toEqual({ kind: 'failed', detail });
  });
});
