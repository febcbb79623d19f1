import { z } from 'zod';

export const DEFAULT_LIMITS = { maxEvents: 100, maxWaitSeconds: 300, maxBytes: 1024 * 1024 };

const maxEvents = z.int().min(1).max(1_000);
const maxWaitSeconds = z.int().min(1).max(3_600);
const maxBytes = z
  .int()
  .min(1_024)
  .max(8 * 1024 * 1024);

/** How an endpoint has its events collected. */
export const batch = z
  .strictObject({
    maxEvents: maxEvents.default(DEFAULT_LIMITS.maxEvents).describe('Sent at once when there are so many.'),
    maxWaitSeconds: maxWaitSeconds
      .default(DEFAULT_LIMITS.maxWaitSeconds)
      .describe('Sent so long after the first of them came, however few there are.'),
    maxBytes: maxBytes
      .default(DEFAULT_LIMITS.maxBytes)
      .describe('Of the `data` of all of them together; an event that is larger goes alone.'),
  })
  .describe('Events are collected and sent together, as a JSON array. Null, the default: one by one.');

export const batchShown = z.strictObject({ maxEvents, maxWaitSeconds, maxBytes }).nullable();
export type BatchLimits = NonNullable<z.output<typeof batchShown>>;
