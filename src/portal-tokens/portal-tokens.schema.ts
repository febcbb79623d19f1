import { z } from 'zod';
import { PORTAL_SCOPES } from '../auth/scopes.js';
import { time } from '../common/schemas.js';

/** A code is for the redirect that is under way. */
export const CODE_SECONDS = 300;

export const createPortalTokenBody = z
  .strictObject({
    expiresInSeconds: z
      .int()
      .min(60)
      .max(3600)
      .default(900)
      .describe('How long the token is good, from now on; shorter where the key that makes it ends earlier.'),
    scopes: z
      .array(z.enum(PORTAL_SCOPES))
      .min(1)
      .optional()
      .describe("Absent: all that a portal may have and the caller's key has."),
  })
  .meta({ id: 'CreatePortalToken' });
export type CreatePortalTokenBody = z.output<typeof createPortalTokenBody>;

export const portalTokenMade = z
  .strictObject({
    id: z.string(),
    accountId: z.string(),
    scopes: z.array(z.enum(PORTAL_SCOPES)),
    code: z.string().describe('To be exchanged for the token, once: shown this once.'),
    codeExpiresAt: time,
    exchangePath: z.string().describe('Where the code is exchanged, on this API.'),
    expiresAt: time.describe('When the token ends.'),
  })
  .meta({ id: 'PortalTokenMade' });
export type PortalTokenMade = z.output<typeof portalTokenMade>;

export const exchangeBody = z
  .strictObject({ code: z.string().min(1).max(200) })
  .meta({ id: 'ExchangePortalCode' });
export type ExchangeBody = z.output<typeof exchangeBody>;

export const portalToken = z
  .strictObject({
    id: z.string(),
    accountId: z.string(),
    scopes: z.array(z.enum(PORTAL_SCOPES)),
    token: z.string().describe('For `Authorization: Bearer …`.'),
    expiresAt: time,
  })
  .meta({ id: 'PortalToken' });
export type PortalToken = z.output<typeof portalToken>;
