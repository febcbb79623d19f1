import type { Left, PublishLimits } from './allowance.js';

const DAY_SECONDS = 86_400;

/**
 * The fields `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10 §3, §4; structured fields, RFC
 * 9651): the burst within the time that pays for it, and the day.
 */
export function rateLimitFields(
  { perSecond, burst, perDay }: PublishLimits,
  left: { rate: Left | null; day: Left | null },
): Record<string, string> {
  const policies: string[] = [];
  const states: string[] = [];
  if (perSecond !== null && left.rate) {
    policies.push(`"publish-rate";q=${burst};w=${Math.ceil(burst / perSecond)}`);
    states.push(`"publish-rate";r=${left.rate.remaining};t=${left.rate.resetSeconds}`);
  }
  if (perDay !== null && left.day) {
    policies.push(`"daily-quota";q=${perDay};w=${DAY_SECONDS}`);
    states.push(`"daily-quota";r=${left.day.remaining};t=${left.day.resetSeconds}`);
  }
  return { 'ratelimit-policy': policies.join(', '), ratelimit: states.join(', ') };
}
