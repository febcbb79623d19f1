import { z } from 'zod';
import { type ProblemCode, PROBLEMS } from '../common/problems.js';

export const problemSchema = z
  .strictObject({
    type: z.literal('about:blank'),
    title: z.string(),
    status: z.int(),
    code: z.enum(Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]]),
    detail: z.string().describe('What to do, for people.'),
    errors: z
      .array(
        z.strictObject({
          pointer: z.string().describe('RFC 6901 into the body, or `?name`, or the name of a header'),
          detail: z.string(),
        }),
      )
      .optional(),
    limit: z.string().optional().describe("The limit of the account's plan that was met."),
    plan: z.string().optional().describe('The plan that sets it.'),
    requestId: z.string(),
  })
  .meta({ id: 'Problem' });
