import { z } from 'zod';
import { pageOf, printable, time } from '../common/schemas.js';
import { plainAuth, plainAuthShown } from '../credentials/credentials.schema.js';
import { MAX_TEMPLATE } from '../transformations/templates.js';
import { LOOKUP_NAME, MAX_LOOKUPS } from './lookup.js';

const DAY_SECONDS = 86_400;

export const lookupName = z
  .string()
  .regex(LOOKUP_NAME, 'must be 1 to 40 lower-case letters, digits and `_`, the first a letter');

/** Of an endpoint. */
export const lookupNames = z
  .array(lookupName)
  .max(MAX_LOOKUPS)
  .refine((names) => new Set(names).size === names.length, 'must not repeat any')
  .describe(
    'Lookups that its events are enriched by, in the order in which they stand in `context`. None: none. Those that are not ' +
      '`selfService` can be added with an operator key alone.',
  );

const fields = {
  description: printable(500).nullable().optional(),
  url: z
    .string()
    .min(1)
    .max(MAX_TEMPLATE)
    .describe(
      'What is asked, by GET: `https://crm.example.com/customers/{{ event.data.customer }}`. Liquid templates in the path and in ' +
        'values of the query see `event`, `account` and `endpoint`; each value is percent-encoded.',
    ),
  auth: plainAuth.nullable().optional(),
  timeoutMs: z.int().min(100).max(5_000).optional().describe('Deadline over headers and body. Default 2000.'),
  cacheTtlSeconds: z
    .int()
    .min(0)
    .max(DAY_SECONDS)
    .optional()
    .describe('How long each process keeps an answer for the same URL. Default 60.'),
  required: z
    .boolean()
    .optional()
    .describe(
      'True, the default: without an answer nothing is sent, and it is tried again. False: `null` stands in its place.',
    ),
  selfService: z
    .boolean()
    .optional()
    .describe('True: accounts may add it to their endpoints themselves. Default false.'),
};

export const createLookupBody = z
  .strictObject({ name: lookupName.describe('The key in `context`; it stays.'), ...fields })
  .meta({ id: 'CreateLookup' });
export type CreateLookupBody = z.output<typeof createLookupBody>;

export const updateLookupBody = z
  .strictObject({ ...fields, url: fields.url.optional() })
  .meta({ id: 'UpdateLookup' });
export type UpdateLookupBody = z.output<typeof updateLookupBody>;

export const lookupShown = z
  .strictObject({
    name: z.string(),
    description: z.string().nullable(),
    url: z.string(),
    auth: plainAuthShown,
    timeoutMs: z.int(),
    cacheTtlSeconds: z.int(),
    required: z.boolean(),
    selfService: z.boolean(),
    lastFailure: z
      .strictObject({ at: time, detail: z.string() })
      .nullable()
      .describe('The latest failure, a few seconds late; null where there was none.'),
    createdAt: time,
    updatedAt: time,
  })
  .meta({ id: 'Lookup' });
export type LookupShown = z.output<typeof lookupShown>;
export const lookupPage = pageOf(lookupShown).meta({ id: 'LookupPage' });
