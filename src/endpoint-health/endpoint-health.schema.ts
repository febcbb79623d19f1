import { z } from 'zod';
import { time } from '../common/schemas.js';

const milliseconds = z.int().nullable().describe('Milliseconds, at most a sixth off; null without attempts.');

const window = z
  .strictObject({
    attempts: z.int(),
    successRate: z.number().nullable().describe('0 to 1; null without attempts.'),
    p50Ms: milliseconds,
    p95Ms: milliseconds,
    p99Ms: milliseconds,
  })
  .meta({ id: 'EndpointHealthWindow' });

export const endpointHealthShown = z
  .strictObject({
    state: z
      .enum(['healthy', 'suspect', 'failing', 'circuit_open', 'disabled'])
      .describe(
        '`suspect`: failures and no success since, for less than an hour. `circuit_open`: one attempt a minute until one succeeds.',
      ),
    since: time.describe('When this state began.'),
    failingSince: time.nullable().describe('The first failure since the latest success.'),
    consecutiveFailures: z.int(),
    lastError: z.strictObject({ code: z.string().describe('As in `statusReason`.'), at: time }).nullable(),
    windows: z.strictObject({ '1h': window, '24h': window, '7d': window }).describe('A few seconds behind.'),
  })
  .meta({ id: 'EndpointHealth' });
export type EndpointHealthShown = z.output<typeof endpointHealthShown>;
