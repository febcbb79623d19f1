import { z } from 'zod';
import { ALL_SCOPES } from '../auth/scopes.js';
import { moment, name, pageOf, time } from '../common/schemas.js';

export const createKeyBody = z
  .strictObject({
    name,
    scopes: z.array(z.enum(ALL_SCOPES)).min(1).optional().describe("Absent: all that the caller's key has."),
    expiresAt: moment.refine((text) => Date.parse(text) > Date.now(), 'must lie in the future').optional(),
  })
  .meta({ id: 'CreateKey' });
export type CreateKeyBody = z.output<typeof createKeyBody>;

const fields = {
  id: z.string(),
  accountId: z.string().nullable().describe('Null for an operator key.'),
  name: z.string(),
  hint: z.string().describe('The first letters of the key.'),
  scopes: z.array(z.enum(ALL_SCOPES)),
  createdAt: time,
  expiresAt: time.nullable(),
  revokedAt: time.nullable(),
  lastUsedAt: time.nullable().describe('To the minute.'),
};
export const keyShown = z.strictObject(fields).meta({ id: 'Key' });
export type KeyShown = z.output<typeof keyShown>;

export const keyWithSecret = z
  .strictObject({ ...fields, secret: z.string().describe('The key itself: shown this once.') })
  .meta({ id: 'KeyWithSecret' });
export type KeyWithSecret = z.output<typeof keyWithSecret>;

export const keyPage = pageOf(keyShown).meta({ id: 'KeyPage' });
