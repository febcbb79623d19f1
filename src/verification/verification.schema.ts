import { z } from 'zod';
import { time } from '../common/schemas.js';
import { VERIFICATIONS } from './judge.js';

export const verificationShown = z
  .strictObject({
    method: z.enum(VERIFICATIONS),
    verified: z.boolean(),
    verifiedAt: time.nullable(),
    attempts: z.int(),
    lastAttemptAt: time.nullable(),
    nextAttemptAt: time.nullable().describe('Null when it is verified, or was tried for a day.'),
    error: z
      .strictObject({ code: z.string(), detail: z.string() })
      .nullable()
      .describe('Why the latest try failed.'),
  })
  .meta({ id: 'Verification' });
export type VerificationShown = z.output<typeof verificationShown>;

export const leaveGranted = z.strictObject({ status: z.literal('granted') }).meta({ id: 'LeaveGranted' });
