import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Problem } from '../common/problems.js';
import {
  checkPriority,
  checkTransformation,
  checkWishes,
  limitsFrom,
  NO_LIMITS,
  type Plan,
  type Wishes,
  withinPlan,
} from './plan.js';
import type { PlanLimits } from './plans.schema.js';

const plan = (limits: Partial<PlanLimits>): Plan => ({ name: 'small', limits: limitsFrom(limits) });
const refusalOf = (limits: Partial<PlanLimits>, wishes: Wishes): unknown => {
  try {
    checkWishes(plan(limits), wishes);
    return null;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const { code, limit, errors } = error;
    return { code, ...limit, pointer: errors[0]?.pointer };
  }
};

describe('what an endpoint asks for', () => {
  it.each<[Partial<PlanLimits>, Wishes, string]>([
    [{ attempts: 3 }, { delays: [1, 1, 1] }, '/retrySchedule'],
    [{ retrySeconds: 10 }, { delays: [5, 5.5] }, '/retrySchedule'],
    [{ lanes: ['durable'] }, { lane: 'auto' }, '/lane'],
    [{ maxInFlight: 4 }, { maxInFlight: 5 }, '/maxInFlight'],
    [{ priorityCeiling: 'normal' }, { priority: 'high' }, '/priority'],
    [{ verification: ['ping'] }, { verification: 'none' }, '/verification'],
    [{ lookups: 1 }, { lookups: ['crm', 'erp'] }, '/lookups'],
  ])('is refused beyond %j', (limits, wishes, pointer) => {
    const [name] = Object.keys(limits);
    expect(refusalOf(limits, wishes)).toEqual({ code: 'plan_limit_exceeded', name, plan: 'small', pointer });
    expect(refusalOf({}, wishes)).toBeNull();
    const none = Object.fromEntries(Object.keys(wishes).map((wish) => [wish, null]));
    expect(refusalOf(limits, none as Wishes)).toBeNull();
  });

  it('may be as much as the plan allows', () => {
    const limits = {
      attempts: 3,
      retrySeconds: 10,
      lanes: ['auto' as const],
      maxInFlight: 4,
      priorityCeiling: 'high' as const,
    };
    expect(refusalOf(limits, { delays: [4, 6], lane: 'auto', maxInFlight: 4, priority: 'high' })).toBeNull();
    expect(() => checkPriority(plan(limits), 'critical', '/priority')).toThrow(Problem);
  });
});

describe('a transformation', () => {
  it.each([
    ['none', 'declarative', false],
    ['none', 'javascript', false],
    ['declarative', 'declarative', true],
    ['declarative', 'javascript', false],
    ['javascript', 'declarative', true],
    ['javascript', 'javascript', true],
    [null, 'javascript', true],
  ] as const)('by a plan that allows %s, %s: %s', (transformations, kind, allowed) => {
    const check = () => checkTransformation(plan({ transformations }), kind, '/kind');
    if (allowed) expect(check).not.toThrow();
    else
      expect(check).toThrow(
        expect.objectContaining({
          code: 'plan_limit_exceeded',
          limit: { name: 'transformations', plan: 'small' },
        }),
      );
  });
});

describe('a schedule within a plan', () => {
  const delays = fc.array(fc.integer({ min: 0, max: 100 }), { maxLength: 30 });
  const limits = fc.record({
    attempts: fc.option(fc.integer({ min: 1, max: 31 })),
    retrySeconds: fc.option(fc.nat(1_500)),
  });
  const allows = (given: Partial<PlanLimits>, schedule: readonly number[]) =>
    refusalOf(given, { delays: schedule }) === null;

  it('is the longest beginning that the plan would take', () => {
    fc.assert(
      fc.property(delays, limits, (schedule, given) => {
        const kept = withinPlan(schedule, limitsFrom(given));
        expect(kept).toEqual(schedule.slice(0, kept.length));
        expect(allows(given, kept)).toBe(true);
        if (kept.length < schedule.length)
          expect(allows(given, schedule.slice(0, kept.length + 1))).toBe(false);
      }),
    );
  });

  it('is the schedule itself where nothing limits it', () => {
    const schedule = [1, 2, 3];
    expect(withinPlan(schedule, NO_LIMITS)).toBe(schedule);
  });
});
