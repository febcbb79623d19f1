import { z } from 'zod';
import { LANES } from '../common/lane.js';
import { VERIFICATIONS } from '../verification/judge.js';
import { PRIORITIES } from '../common/priority.js';
import { pageOf, time } from '../common/schemas.js';

/** External ids are remembered with their events, and no publisher comes back with one later than this. */
export const MIN_RETENTION_DAYS = 7;

export const PLAN_NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
export const planName = z
  .string()
  .regex(PLAN_NAME, 'must be 1 to 64 lower-case letters, digits, `_` and `-`, the first a letter or digit');

const DAY_SECONDS = 86_400;
const upTo = (max: number, min = 1) => z.int().min(min).max(max).nullable();
const someOf = <Name extends string>(names: readonly Name[]) =>
  z
    .array(z.enum(names))
    .min(1)
    .refine((given) => new Set(given).size === given.length, 'must not repeat any')
    .nullable();

/** Every limit that a plan may set. Null does not limit. */
const LIMITS = {
  endpoints: upTo(1_000_000, 0).describe('Endpoints of an account, deleted ones left out.'),
  publishPerSecond: upTo(100_000).describe('Events published a second, over all processes.'),
  publishBurst: upTo(100_000).describe(
    'Events that may be published at once after a quiet time. Null: as many as in a second.',
  ),
  eventsPerDay: upTo(1_000_000_000_000).describe('Events published in a day of UTC, over all processes.'),
  batchEvents: upTo(1_000).describe('Events of one publish.'),
  batchSize: upTo(1_000).describe(
    'Events that an endpoint may have collected into one batch (`batch.maxEvents`).',
  ),
  payloadBytes: upTo(16 * 1024 * 1024).describe("Bytes of an event's `data`."),
  attempts: upTo(31).describe('Attempts of a retry schedule, the first included.'),
  retrySeconds: upTo(365 * DAY_SECONDS, 0).describe('Length of a retry schedule: the sum of its delays.'),
  retryDelayUnderLoadSeconds: upTo(7 * DAY_SECONDS, 0).describe(
    'What a retry waits longer where three quarters of all attempts that a process makes at once are under way.',
  ),
  maxInFlight: upTo(1_000).describe('Attempts under way at once to an endpoint, in each worker process.'),
  priorityCeiling: z
    .enum(PRIORITIES.filter((priority) => priority !== 'low'))
    .nullable()
    .describe('The most urgent priority that events and endpoints may ask for.'),
  lanes: someOf(LANES).describe('Lanes that endpoints may ask for.'),
  verification: someOf(VERIFICATIONS).describe(
    'Ways in which endpoints may be verified, of those that `POSTHORN_VERIFICATION` allows.',
  ),
  retentionDays: upTo(3_650, MIN_RETENTION_DAYS).describe('In place of `POSTHORN_RETENTION_DAYS`.'),
  failingSeconds: upTo(30 * DAY_SECONDS).describe('In place of `POSTHORN_HEALTH_FAILING_SECONDS`.'),
  disableSeconds: upTo(365 * DAY_SECONDS).describe('In place of `POSTHORN_HEALTH_DISABLE_SECONDS`.'),
  circuitFailures: upTo(1_000_000, 0).describe('In place of `POSTHORN_CIRCUIT_FAILURES`.'),
  circuitProbeSeconds: upTo(DAY_SECONDS).describe('In place of `POSTHORN_CIRCUIT_PROBE_SECONDS`.'),
  reenableProbeSeconds: upTo(30 * DAY_SECONDS, 0).describe('In place of `POSTHORN_REENABLE_PROBE_SECONDS`.'),
  transformations: z
    .enum(['none', 'declarative', 'javascript'])
    .nullable()
    .describe('Transformations that endpoints may be given; `javascript` allows both kinds.'),
  lookups: upTo(5, 0).describe('Lookups that an endpoint may have.'),
};

export const planLimits = z.strictObject(LIMITS).meta({ id: 'PlanLimits' });
export type PlanLimits = z.output<typeof planLimits>;
export type LimitName = keyof PlanLimits;

const givenLimits = planLimits.partial().describe('Null does not limit.').meta({ id: 'PlanLimitsGiven' });

export const createPlanBody = z
  .strictObject({ name: planName, limits: givenLimits.optional() })
  .meta({ id: 'CreatePlan' });
export type CreatePlanBody = z.output<typeof createPlanBody>;

export const updatePlanBody = z
  .strictObject({ limits: givenLimits.describe('Those that are left out stay as they are.') })
  .meta({ id: 'UpdatePlan' });
export type UpdatePlanBody = z.output<typeof updatePlanBody>;

export const planShown = z
  .strictObject({ name: z.string(), limits: planLimits, createdAt: time, updatedAt: time })
  .meta({ id: 'Plan' });
export type PlanShown = z.output<typeof planShown>;
export const planPage = pageOf(planShown).meta({ id: 'PlanPage' });

export const accountLimitsShown = z
  .strictObject({
    plan: z
      .string()
      .describe('The plan that counts: the default one where the account names none that exists.'),
    limits: planLimits,
    usage: z.strictObject({
      endpoints: z.int(),
      eventsToday: z
        .int()
        .nullable()
        .describe(
          'Since midnight UTC, with those that a process expects within a moment. Null where neither rate nor day is limited: nothing is counted then.',
        ),
    }),
  })
  .meta({ id: 'AccountLimits' });
export type AccountLimitsShown = z.output<typeof accountLimitsShown>;
