import { z } from 'zod';
import { moment, pageOf, pageQuery, printable, time } from '../common/schemas.js';
import { ACTIONS } from './actions.js';

const filters = {
  ...pageQuery,
  action: z.enum(ACTIONS).optional(),
  actor: printable(300)
    .optional()
    .describe(
      'The id of a key or of a portal token, `oidc:` and the subject of a provider’s token, `root`, or `cli`',
    ),
  resourceId: printable(200).optional(),
  since: moment.optional().describe('Written at or after this time'),
  until: moment.optional().describe('Written before this time'),
};

export const accountAuditQuery = z.strictObject(filters);
export type AccountAuditQuery = z.output<typeof accountAuditQuery>;

export const auditQuery = z.strictObject({ ...filters, accountId: z.string().max(40).optional() });
export type AuditQuery = z.output<typeof auditQuery>;

const hash = z.string().regex(/^[0-9a-f]{64}$/);

export const auditEntryShown = z
  .strictObject({
    id: z.string(),
    accountId: z.string().nullable().describe("Null in the operator's chain."),
    sequence: z.int().describe('Counts from 1 in each chain.'),
    createdAt: time,
    actor: z
      .string()
      .describe(
        'The id of a key or of a portal token, `oidc:` and the subject of a provider’s token, `root`, or `cli`.',
      ),
    address: z.string().nullable().describe('IP address that the request came from.'),
    userAgent: z.string().nullable(),
    action: z.enum(ACTIONS),
    resourceId: z.string(),
    changes: z
      .record(z.string(), z.strictObject({ from: z.unknown(), to: z.unknown() }))
      .describe('By field. Secrets are masked.'),
    requestId: z.string(),
    previousHash: hash.nullable().describe('Null in the first entry of a chain.'),
    hash: hash.describe('SHA-256 of this entry’s other fields as canonical JSON (RFC 8785).'),
  })
  .meta({ id: 'AuditEntry' });

export const auditPage = pageOf(auditEntryShown).meta({ id: 'AuditPage' });
