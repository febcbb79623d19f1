import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Answer } from './answer.js';
import { AnswerCache, FAILURE_MS } from './answer-cache.js';

const found = (json = '1'): Answer => ({ kind: 'found', json });
const FAILED: Answer = { kind: 'failed', detail: 'the answer is 500' };

describe('answers that are kept', () => {
  it('are good for their time and no longer', () => {
    const cache = new AnswerCache(100_000);
    cache.put('a', found(), 60_000, 1_000);
    expect(cache.get('a', 60_999)).toEqual(found());
    expect(cache.get('a', 61_000)).toBeUndefined();
    expect(cache.get('a', 1_001)).toBeUndefined();
  });

  it('are none where they have no time', () => {
    const cache = new AnswerCache(100_000);
    cache.put('a', found(), 60_000, 0);
    cache.put('a', found('2'), 0, 1);
    expect(cache.get('a', 1)).toBeUndefined();
  });

  it('are believed for a second where they are failures, however long others are', () => {
    for (const ttlMs of [0, 86_400_000]) {
      const cache = new AnswerCache(100_000);
      cache.put('a', FAILED, ttlMs, 0);
      expect(cache.get('a', FAILURE_MS - 1)).toEqual(FAILED);
      expect(cache.get('a', FAILURE_MS)).toBeUndefined();
    }
  });

  it('never take more room than there is, and the latest stay', () => {
    const put = fc.record({ key: fc.integer({ min: 0, max: 20 }), length: fc.integer({ min: 0, max: 400 }) });
    fc.assert(
      fc.property(fc.array(put, { minLength: 1, maxLength: 60 }), (puts) => {
        const cache = new AnswerCache(2_000);
        for (const { key, length } of puts) cache.put(`k${key}`, found('1'.repeat(length)), 1_000, 0);
        const left = Array.from({ length: 21 }, (_, key) => cache.get(`k${key}`, 0));
        const characters = left.reduce(
          (sum, each) => sum + (each?.kind === 'found' ? each.json.length : 0),
          0,
        );
        expect(2 * characters).toBeLessThanOrEqual(2_000);
        const last = puts.at(-1);
        expect(left[last?.key ?? 0]).toEqual(found('1'.repeat(last?.length ?? 0)));
      }),
    );
  });
});
