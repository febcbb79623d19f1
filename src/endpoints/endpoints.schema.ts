import { z } from 'zod';
import { type ScheduleName, SCHEDULES } from '../../workflows/schedule.js';
import { LANES } from '../common/lane.js';
import { PRIORITIES } from '../common/priority.js';
import { pageOf, printable, time } from '../common/schemas.js';
import { customHeaders } from './custom-headers.js';

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

const writable = {
  url: z.string().min(1).max(2048),
  description: printable(500).nullable().optional(),
  eventTypes: eventTypes.nullable().optional(),
  headers: customHeaders
    .optional()
    .describe('Sent with every delivery. `***` keeps the stored value of a masked one.'),
  timeoutMs: z
    .int()
    .min(1000)
    .max(30_000)
    .optional()
    .describe('Deadline over headers and body. Default 15000.'),
  retrySchedule: retrySchedule.optional(),
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
  paused: z.boolean().optional().describe('Holds every delivery until it is false again.'),
};

export const createEndpointBody = z
  .strictObject({
    ...writable,
    signingSecret: z
      .string()
      .max(200)
      .optional()
      .describe('Own secret, `whsec_…` (HMAC-SHA256) or `whsk_…` (ed25519). Absent: a new `whsec_`.'),
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
  headers: z.record(z.string(), z.string()).describe('Credentials are masked.'),
  timeoutMs: z.int(),
  retrySchedule: z.union([z.enum(SCHEDULE_NAMES), z.array(z.number())]),
  lane: z.enum(LANES).nullable(),
  priority: z.enum(PRIORITIES).nullable(),
  rateLimit: z.strictObject({ perSecond, burst }).nullable(),
  maxInFlight: z.int().nullable(),
  status: z.enum(['pending_verification', 'active', 'paused', 'disabled']),
  statusReason: z.string().nullable(),
  paused: z.boolean(),
  createdAt: time,
  updatedAt: time,
};
export const endpointShown = z.strictObject(shown).meta({ id: 'Endpoint' });
export type EndpointShown = z.output<typeof endpointShown>;

const secretFields = {
  publicKey: z.string().nullable().describe('`whpk_…` of an ed25519 secret, for receivers to verify with.'),
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
    secret: z.string().max(200).optional().describe('Own secret. Absent: a new one of the same kind.'),
    overlapSeconds: z
      .int()
      .min(0)
      .max(7 * DAY_SECONDS)
      .default(DAY_SECONDS)
      .describe('How long the old secret signs beside the new one.'),
  })
  .meta({ id: 'RotateSecret' });
export type RotateSecretBody = z.output<typeof rotateSecretBody>;
