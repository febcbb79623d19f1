import type { LaneName } from '../common/lane.js';
import { type Priority, priorityLevel } from '../common/priority.js';
import { Problem } from '../common/problems.js';
import type { Verification } from '../verification/judge.js';
import type { TransformationKind } from '../transformations/transformation.js';
import type { LimitName, PlanLimits } from './plans.schema.js';

export interface Plan {
  name: string;
  limits: PlanLimits;
}

export const NO_LIMITS: PlanLimits = {
  endpoints: null,
  publishPerSecond: null,
  publishBurst: null,
  eventsPerDay: null,
  batchEvents: null,
  batchSize: null,
  payloadBytes: null,
  attempts: null,
  retrySeconds: null,
  retryDelayUnderLoadSeconds: null,
  maxInFlight: null,
  priorityCeiling: null,
  lanes: null,
  verification: null,
  retentionDays: null,
  failingSeconds: null,
  disableSeconds: null,
  circuitFailures: null,
  circuitProbeSeconds: null,
  reenableProbeSeconds: null,
  transformations: null,
  lookups: null,
};

/** @param stored as a plan's row has them: what is absent does not limit */
export const limitsFrom = (stored: Partial<PlanLimits>): PlanLimits => ({ ...NO_LIMITS, ...stored });

/** What an endpoint asks for that a plan may not allow. */
export interface Wishes {
  /** Seconds after each failed attempt. */
  delays?: readonly number[] | undefined;
  lane?: LaneName | null | undefined;
  priority?: Priority | null | undefined;
  maxInFlight?: number | null | undefined;
  verification?: Verification | undefined;
  lookups?: readonly string[] | undefined;
  /** Events that are sent together. */
  batchSize?: number | undefined;
}

/** @throws Problem `plan_limit_exceeded` for the first wish that the plan does not allow */
export function checkWishes(plan: Plan, wishes: Wishes): void {
  const { delays, lane, priority, maxInFlight, verification, lookups, batchSize } = wishes;
  const { limits } = plan;
  if (delays && limits.attempts !== null && delays.length >= limits.attempts)
    throw beyond(plan, 'attempts', '/retrySchedule', `${limits.attempts} attempts at most`);
  if (delays && limits.retrySeconds !== null && lengthOf(delays) > limits.retrySeconds)
    throw beyond(plan, 'retrySeconds', '/retrySchedule', `${limits.retrySeconds} seconds at most in all`);
  if (lane && limits.lanes && !limits.lanes.includes(lane))
    throw beyond(plan, 'lanes', '/lane', only(limits.lanes));
  if (verification && limits.verification && !limits.verification.includes(verification))
    throw beyond(plan, 'verification', '/verification', only(limits.verification));
  if (maxInFlight && limits.maxInFlight !== null && maxInFlight > limits.maxInFlight)
    throw beyond(plan, 'maxInFlight', '/maxInFlight', `${limits.maxInFlight} at most`);
  if (lookups && limits.lookups !== null && lookups.length > limits.lookups)
    throw beyond(plan, 'lookups', '/lookups', `${limits.lookups} lookups at most`);
  if (batchSize !== undefined && limits.batchSize !== null && batchSize > limits.batchSize)
    throw beyond(plan, 'batchSize', '/batch/maxEvents', `${limits.batchSize} events in a batch at most`);
  checkPriority(plan, priority, '/priority');
}

/** @throws Problem `plan_limit_exceeded` for a kind of transformation that the plan does not allow */
export function checkTransformation(plan: Plan, kind: TransformationKind, pointer: string): void {
  const { transformations: allowed } = plan.limits;
  if (allowed === null || allowed === 'javascript' || allowed === kind) return;
  throw beyond(
    plan,
    'transformations',
    pointer,
    allowed === 'none' ? 'no transformations' : 'only `declarative` transformations',
  );
}

/** @throws Problem `plan_limit_exceeded` when it is more urgent than the plan allows */
export function checkPriority(plan: Plan, priority: Priority | null | undefined, pointer: string): void {
  const { priorityCeiling } = plan.limits;
  if (priority && priorityCeiling && priorityLevel(priority) < priorityLevel(priorityCeiling))
    throw beyond(plan, 'priorityCeiling', pointer, `\`${priorityCeiling}\` at most`);
}

/** @throws Problem `plan_limit_exceeded` for more events of one publish than the plan allows */
export function checkBatch(plan: Plan, events: number, pointer: string): void {
  const { batchEvents } = plan.limits;
  if (batchEvents !== null && events > batchEvents)
    throw beyond(plan, 'batchEvents', pointer, `${batchEvents} events at once`);
}

export function beyond(plan: Plan, limit: LimitName, pointer: string, allowed: string): Problem {
  return new Problem('plan_limit_exceeded', `The plan \`${plan.name}\` allows ${allowed} (\`${limit}\`).`, {
    errors: [{ pointer, detail: `is more than the plan allows: ${allowed}` }],
    limit: { name: limit, plan: plan.name },
  });
}

/** What of a schedule a plan lets happen: its beginning, as far as neither attempts nor length exceed the plan. */
export function withinPlan(
  delays: readonly number[],
  { attempts, retrySeconds }: PlanLimits,
): readonly number[] {
  if (attempts === null && retrySeconds === null) return delays;
  let length = 0;
  const end = delays.findIndex((delay, index) => {
    length += delay;
    return index + 1 >= (attempts ?? Infinity) || length > (retrySeconds ?? Infinity);
  });
  return end === -1 ? delays : delays.slice(0, end);
}

const only = (names: readonly string[]): string => `only ${names.map((name) => `\`${name}\``).join(', ')}`;

const lengthOf = (delays: readonly number[]): number => delays.reduce((sum, delay) => sum + delay, 0);
