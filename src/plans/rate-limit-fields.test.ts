import { describe, expect, it } from '@jest/globals';
import { rateLimitFields } from './rate-limit-fields.js';

describe('the fields about limits', () => {
  const rate = { remaining: 3, resetSeconds: 2 };
  const day = { remaining: 90, resetSeconds: 3_600 };

  it('name each limit with its quota, window, rest and time', () => {
    expect(rateLimitFields({ perSecond: 10, burst: 25, perDay: 100 }, { rate, day })).toEqual({
      'ratelimit-policy': '"publish-rate";q=25;w=3, "daily-quota";q=100;w=86400',
      ratelimit: '"publish-rate";r=3;t=2, "daily-quota";r=90;t=3600',
    });
  });

  it('leave out what does not limit', () => {
    expect(rateLimitFields({ perSecond: null, burst: 0, perDay: 100 }, { rate: null, day })).toEqual({
      'ratelimit-policy': '"daily-quota";q=100;w=86400',
      ratelimit: '"daily-quota";r=90;t=3600',
    });
  });
});
