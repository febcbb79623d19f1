import { z } from 'zod';
import { type ScheduleName, SCHEDULES } from '../../workflows/schedule.js';
import { batch, batchShown } from '../batches/batches.schema.js';
import { LANES } from '../common/lane.js';
import { PRIORITIES } from '../common/priority.js';
import { pageOf, printable, time } from '../common/schemas.js';
import { auth, credentialsShown, tls } from '../credentials/credentials.schema.js';
import { FORMATS, PAYLOADS } from '../messages/message.js';
import { wishedVersions } from '../event-types/event-types.schema.js';
import { lookupNames } from '../lookups/lookups.schema.js';
import { filter, filterShown } from '../filters/filters.schema.js';
import { SCHEMES, type Signing, SIGNING_SCHEMES } from '../signing/schemes.js';
import { VERIFICATIONS } from '../verification/judge.js';
import { customHeaders, headerName } from './custom-headers.js';

const eventTypes = z
  .array(
    z
      .string()
      .max(130)
      .regex(
        /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?$/,
        'must be an event type, or a prefix ending in `.*`',
      ),
  )
  .min(1)
  .max(200)
  .describe('Exact names, or prefixes ending in `.*` (`github.*` takes `github.push`). Null: all.');

const SCHEDULE_NAMES = Object.keys(SCHEDULES) as [ScheduleName, ...ScheduleName[]];
const WEEK_SECONDS = 7 * 24 * 3600;
const retrySchedule = z
  .union([z.enum(SCHEDULE_NAMES), z.array(z.number().min(0).max(WEEK_SECONDS)).max(30)], {
    error: `must be ${SCHEDULE_NAMES.map((schedule) => `\`${schedule}\``).join(', ')}, or a list of seconds`,
  })
  .describe(
    'A named schedule, or seconds to wait after each failed attempt (up to 30, each up to a week; none: no retries).',
  );

const perSecond = z.number().min(0.01).max(10_000);
const burst = z.int().min(1).max(10_000);
const rateLimit = z.strictObject({
  perSecond: perSecond.describe('Attempts a second, over all workers; `0.1` is one every 10 seconds.'),
  burst: burst.optional().describe('How many may be sent at once after a pause. Default 1: evenly spaced.'),
});

const SIGNING_VERSIONS = ['v1', 'v1a'] as const;
const signingVersions = z
  .array(z.enum(SIGNING_VERSIONS))
  .min(1)
  .refine((versions) => new Set(versions).size === versions.length, 'must not repeat a version')
  .describe(
    'Makes a secret of each: `v1` is HMAC-SHA256, `v1a` ed25519. With both, each delivery has both signatures.',
  );

const signing = z
  .discriminatedUnion(
    'scheme',
    [
      z.strictObject({ scheme: z.literal('standard') }),
      z.strictObject({ scheme: z.literal('stripe'), header: headerName.optional() }),
      z.strictObject({ scheme: z.literal('github'), header: headerName.optional() }),
    ],
    { error: `must be ${SIGNING_SCHEMES.map((scheme) => `\`${scheme}\``).join(', ')}` },
  )
  .transform((given): Signing => {
    const header = 'header' in given ? given.header : undefined;
    return { scheme: given.scheme, header: header ?? SCHEMES[given.scheme].header };
  })
  .describe(
    '`standard`: Standard Webhooks. `stripe`, `github`: as these sign, for receivers that were written for one of them; `header` is ' +
      `\`${SCHEMES.stripe.header}\` or \`${SCHEMES.github.header}\` unless given.`,
  );

const writable = {
  url: z.string().min(1).max(2048),
  description: printable(500).nullable().optional(),
  eventTypes: eventTypes.nullable().optional(),
  eventVersions: wishedVersions
    .optional()
    .describe(
      'The version wanted of each event type; those that are not named stay as they are. Of other types with versions that it takes, and for null, the newest at that moment.',
    ),
  filter: filter.optional(),
  lookups: lookupNames.optional(),
  headers: customHeaders
    .optional()
    .describe('Sent with every delivery. `***` keeps the stored value of a masked one.'),
  auth: auth.nullable().optional(),
  tls: tls.nullable().optional(),
  timeoutMs: z
    .int()
    .min(1000)
    .max(30_000)
    .optional()
    .describe('Deadline over headers and body. Default 15000.'),
  retrySchedule: retrySchedule.optional(),
  signing: signing.optional(),
  lane: z
    .enum(LANES)
    .nullable()
    .optional()
    .describe("Which way first attempts go. Null: the deployment's (`POSTHORN_LANE`)."),
  priority: z
    .enum(PRIORITIES)
    .nullable()
    .optional()
    .describe("Of events published without one. Null: the event type's."),
  rateLimit: rateLimit.nullable().optional().describe('Null: unlimited.'),
  maxInFlight: z
    .int()
    .min(1)
    .max(1000)
    .nullable()
    .optional()
    .describe('Attempts under way at once. Null: 32 in each worker process.'),
  payload: z
    .enum(PAYLOADS)
    .optional()
    .describe('`full`, the default: the data. `thin`: a link to fetch the event by.'),
  format: z
    .enum(FORMATS)
    .optional()
    .describe(
      '`posthorn`, the default: `{id, type, timestamp, version, data}`. The others: CloudEvents 1.0.',
    ),
  batch: batch.nullable().optional(),
  test: z
    .boolean()
    .optional()
    .describe('True: receives what is published while its account is in test mode, and nothing else.'),
  paused: z.boolean().optional().describe('Holds every delivery until it is false again.'),
  verification: z
    .enum(VERIFICATIONS)
    .optional()
    .describe(
      "How the receiver shows that it wants deliveries, which are held until it has. Absent: the deployment's first (`POSTHORN_VERIFICATION`).",
    ),
};

export const createEndpointBody = z
  .strictObject({
    ...writable,
    signingSecret: z
      .string()
      .max(200)
      .optional()
      .describe(
        'Own secret, `whsec_…` (HMAC-SHA256) or `whsk_…` (ed25519); with another scheme any text of 24 characters and more, used ' +
          'as the key as it is. Absent: a new `whsec_`.',
      ),
    signingVersions: signingVersions.optional(),
  })
  .refine((body) => body.signingSecret === undefined || body.signingVersions === undefined, {
    path: ['signingVersions'],
    message: 'give either `signingSecret` or `signingVersions`',
  })
  .meta({ id: 'CreateEndpoint' });
export type CreateEndpointBody = z.output<typeof createEndpointBody>;

export const updateEndpointBody = z
  .strictObject({
    ...writable,
    url: writable.url.optional(),
    status: z
      .enum(['active', 'paused'])
      .optional()
      .describe('`paused` as `paused: true`; `active` resumes a paused and enables a disabled endpoint.'),
  })
  .refine((body) => body.status === undefined || body.paused === undefined, {
    path: ['paused'],
    message: 'set either `status` or `paused`',
  })
  .meta({ id: 'UpdateEndpoint' });
export type UpdateEndpointBody = z.output<typeof updateEndpointBody>;

const shown = {
  id: z.string(),
  accountId: z.string(),
  url: z.string(),
  description: z.string().nullable(),
  eventTypes: z.array(z.string()).nullable(),
  eventVersions: z.record(z.string(), z.string()).describe('The version that it pins of each event type.'),
  filter: filterShown,
  lookups: z.array(z.string()),
  headers: z.record(z.string(), z.string()).describe('Credentials are masked.'),
  ...credentialsShown,
  timeoutMs: z.int(),
  retrySchedule: z.union([z.enum(SCHEDULE_NAMES), z.array(z.number())]),
  signing: z.strictObject({ scheme: z.enum(SIGNING_SCHEMES), header: z.string() }),
  lane: z.enum(LANES).nullable(),
  priority: z.enum(PRIORITIES).nullable(),
  rateLimit: z.strictObject({ perSecond, burst }).nullable(),
  maxInFlight: z.int().nullable(),
  payload: z.enum(PAYLOADS),
  format: z.enum(FORMATS),
  batch: batchShown,
  test: z.boolean(),
  status: z.enum(['pending_verification', 'active', 'paused', 'disabled']),
  statusReason: z.string().nullable(),
  paused: z.boolean(),
  verification: z.enum(VERIFICATIONS),
  createdAt: time,
  updatedAt: time,
};
export const endpointShown = z.strictObject(shown).meta({ id: 'Endpoint' });
export type EndpointShown = z.output<typeof endpointShown>;

const publicKey = z
  .string()
  .nullable()
  .describe('`whpk_…` of an ed25519 secret, for receivers to verify with.');
const secretFields = {
  publicKey,
  secrets: z
    .array(z.strictObject({ secret: z.string(), publicKey }))
    .describe('All that are current, the one above first: more than one where both versions sign.'),
};
export const endpointCreated = z
  .strictObject({ ...shown, signingSecret: z.string(), ...secretFields })
  .meta({ id: 'EndpointWithSecret' });
export type EndpointCreated = z.output<typeof endpointCreated>;

export const endpointPage = pageOf(endpointShown).meta({ id: 'EndpointPage' });

export const secretShown = z
  .strictObject({ secret: z.string(), ...secretFields })
  .meta({ id: 'SigningSecret' });
export type SecretShown = z.output<typeof secretShown>;

const DAY_SECONDS = 24 * 3600;
export const rotateSecretBody = z
  .strictObject({
    secret: z
      .string()
      .max(200)
      .optional()
      .describe('Own secret, which replaces all. Absent: new ones, of the same kinds.'),
    signingVersions: signingVersions.optional(),
    overlapSeconds: z
      .int()
      .min(0)
      .max(7 * DAY_SECONDS)
      .default(DAY_SECONDS)
      .describe('How long the old secret signs beside the new one.'),
  })
  .refine((body) => body.secret === undefined || body.signingVersions === undefined, {
    path: ['signingVersions'],
    message: 'give either `secret` or `signingVersions`',
  })
  .meta({ id: 'RotateSecret' });
export type RotateSecretBody = z.output<typeof rotateSecretBody>;
