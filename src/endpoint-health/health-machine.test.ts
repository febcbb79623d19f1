import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type HealthPolicy, type HealthRecord, type HealthReview, reviewHealth } from './health-machine.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const T0 = Date.parse('2026-01-01T00:00:00Z');

const POLICY: HealthPolicy = {
  failingAfterMs: HOUR,
  disableAfterMs: 5 * DAY,
  probeEveryMs: MINUTE,
  circuitAfterMs: MINUTE,
  circuitFailures: 50,
  circuitDeliveries: 10,
};
const NONE = { attempts: 0, delivered: 0, spanMs: 0 };
const HEALTHY: HealthRecord = {
  state: 'healthy',
  stateSinceMs: T0,
  failingSinceMs: null,
  consecutiveFailures: 0,
  failedDeliveries: 0,
  exhausted: 0,
  announced: null,
  toldAtMs: {},
  probedAtMs: null,
};
const FAILED_ONCE = { ...HEALTHY, failingSinceMs: T0, consecutiveFailures: 1, failedDeliveries: 1 };
/** For longer than any restart. */
const DEAD = {
  ...FAILED_ONCE,
  failingSinceMs: T0 - MINUTE,
  consecutiveFailures: 50,
  failedDeliveries: 10,
};

/** Looks at it whenever it says so, and at nothing else, until a moment. */
function watch(record: HealthRecord, untilMs: number, policy = POLICY, recent = NONE) {
  const seen: { atMs: number; kind: string }[] = [];
  const probes: number[] = [];
  let review: HealthReview | undefined;
  for (let nowMs = T0, turns = 0; nowMs <= untilMs && turns < 20_000; turns += 1) {
    review = reviewHealth(review?.record ?? record, recent, policy, nowMs);
    for (const { kind } of review.notices) seen.push({ atMs: nowMs - T0, kind });
    if (review.probe) probes.push(nowMs - T0);
    if (review.againInMs === null) break;
    nowMs += review.againInMs;
  }
  return { seen, probes, review };
}

describe('the health of an endpoint', () => {
  it('has nothing to say of an endpoint without failures', () => {
    expect(reviewHealth(HEALTHY, NONE, POLICY, T0)).toEqual({
      record: HEALTHY,
      notices: [],
      probe: false,
      disable: false,
      againInMs: null,
    });
  });

  it('suspects at the first failure, is failing after an hour, and disables after five days, each told once', () => {
    const { seen, review } = watch(FAILED_ONCE, T0 + 10 * DAY);
    expect(seen).toEqual([
      { atMs: HOUR, kind: 'failing' },
      { atMs: 5 * DAY, kind: 'disabled' },
    ]);
    expect(review?.disable).toBe(true);
  });

  it('is failing at once when a delivery is given up', () => {
    const { notices, record } = reviewHealth({ ...FAILED_ONCE, exhausted: 1 }, NONE, POLICY, T0 + 1);
    expect(notices).toEqual([{ kind: 'failing' }, { kind: 'exhausted', count: 1 }]);
    expect(record).toMatchObject({ state: 'failing', exhausted: 0 });
  });

  it('tells of deliveries given up once an hour, with their number', () => {
    const first = reviewHealth({ ...HEALTHY, exhausted: 3 }, NONE, POLICY, T0);
    expect(first.notices).toEqual([{ kind: 'exhausted', count: 3 }]);
    const more = reviewHealth({ ...first.record, exhausted: 40 }, NONE, POLICY, T0 + 10 * MINUTE);
    expect(more).toMatchObject({ notices: [], againInMs: 50 * MINUTE });
    const later = reviewHealth({ ...more.record, exhausted: 41 }, NONE, POLICY, T0 + HOUR);
    expect(later.notices).toEqual([{ kind: 'exhausted', count: 41 }]);
  });

  it('opens the circuit after many failures in a row of several deliveries', () => {
    expect(reviewHealth(DEAD, NONE, POLICY, T0 + 1).notices).toEqual([{ kind: 'circuit_open' }]);
    for (const less of [{ consecutiveFailures: 49 }, { failedDeliveries: 9 }]) {
      expect(reviewHealth({ ...DEAD, ...less }, NONE, POLICY, T0 + 1).record.state).toBe('suspect');
    }
    expect(reviewHealth(DEAD, NONE, { ...POLICY, circuitFailures: 0 }, T0 + 1).record.state).toBe('suspect');
  });

  it('opens it whatever the streak where under 5 % of at least 100 attempts of an hour went through', () => {
    const state = (attempts: number, delivered: number, spanMs = 5 * MINUTE) =>
      reviewHealth(FAILED_ONCE, { attempts, delivered, spanMs }, POLICY, T0 + 1).record.state;
    expect(state(100, 4)).toBe('circuit_open');
    expect(state(100, 5)).toBe('suspect');
    expect(state(99, 0)).toBe('suspect');
    expect(state(1000, 0, 5 * MINUTE - 1)).toBe('suspect');
  });

  it('waits out a restart of the receiver before it opens a circuit', () => {
    const { seen } = watch({ ...DEAD, failingSinceMs: T0 }, T0 + HOUR / 2);
    expect(seen).toEqual([{ atMs: MINUTE, kind: 'circuit_open' }]);
  });

  it('lets one attempt a minute through an open circuit until it is disabled', () => {
    const { seen, probes } = watch(DEAD, T0 + 10 * DAY);
    expect(seen.map(({ kind }) => kind)).toEqual(['circuit_open', 'disabled']);
    expect(probes[0]).toBe(MINUTE);
    expect(probes).toHaveLength((5 * DAY) / MINUTE - 2);
    expect(probes.every((atMs, index) => index === 0 || atMs - (probes[index - 1] ?? 0) === MINUTE)).toBe(
      true,
    );
  });

  it('is well again after one success, and says so only where it had told of trouble', () => {
    const open = reviewHealth(DEAD, NONE, POLICY, T0).record;
    const well = reviewHealth({ ...open, failingSinceMs: null }, NONE, POLICY, T0 + MINUTE);
    expect(well).toMatchObject({
      notices: [{ kind: 'recovered' }],
      record: { state: 'healthy', announced: null },
    });
    const suspect = reviewHealth(FAILED_ONCE, NONE, POLICY, T0).record;
    expect(reviewHealth({ ...suspect, failingSinceMs: null }, NONE, POLICY, T0 + 1).notices).toEqual([]);
  });

  it('tells of the same trouble once an hour at most, however often an endpoint comes and goes', () => {
    let record = HEALTHY;
    const told: string[] = [];
    for (let nowMs = T0; nowMs < T0 + 3 * HOUR; nowMs += MINUTE) {
      for (const facts of [
        { failingSinceMs: nowMs - MINUTE, consecutiveFailures: 50, failedDeliveries: 10 },
        { failingSinceMs: null },
      ]) {
        const review = reviewHealth({ ...record, ...facts }, NONE, POLICY, nowMs);
        told.push(...review.notices.map(({ kind }) => kind));
        record = review.record;
      }
    }
    expect(told).toEqual([
      'circuit_open',
      'recovered',
      'circuit_open',
      'recovered',
      'circuit_open',
      'recovered',
    ]);
  });

  it('still tells of trouble that came back within the hour and stayed', () => {
    const open = reviewHealth(DEAD, NONE, POLICY, T0).record;
    const well = reviewHealth({ ...open, failingSinceMs: null }, NONE, POLICY, T0).record;
    const { seen } = watch(
      { ...well, ...DEAD, state: 'healthy', toldAtMs: well.toldAtMs, failingSinceMs: T0 },
      T0 + 2 * HOUR,
    );
    expect(seen).toEqual([{ atMs: HOUR, kind: 'circuit_open' }]);
  });

  const records = fc.record<HealthRecord>({
    state: fc.constantFrom('healthy', 'suspect', 'failing', 'circuit_open'),
    stateSinceMs: fc.integer({ min: T0 - DAY, max: T0 }),
    failingSinceMs: fc.option(fc.integer({ min: T0 - 6 * DAY, max: T0 })),
    consecutiveFailures: fc.nat(100),
    failedDeliveries: fc.nat(10),
    exhausted: fc.nat(3),
    announced: fc.constantFrom(null, 'failing', 'circuit_open'),
    toldAtMs: fc.record(
      {
        failing: fc.integer({ min: T0 - 2 * HOUR, max: T0 }),
        exhausted: fc.integer({ min: T0 - 2 * HOUR, max: T0 }),
      },
      { requiredKeys: [] },
    ),
    probedAtMs: fc.option(fc.integer({ min: T0 - HOUR, max: T0 })),
  });

  it('changes nothing when it is looked at twice, and always later again', () => {
    fc.assert(
      fc.property(records, (record) => {
        const first = reviewHealth(record, NONE, POLICY, T0);
        fc.pre(!first.disable);
        const second = reviewHealth(first.record, NONE, POLICY, T0);
        expect(second.record).toEqual(first.record);
        expect(second.notices).toEqual([]);
        expect(second.probe).toBe(false);
        expect(first.againInMs === null || first.againInMs > 0).toBe(true);
        expect(first.record.failingSinceMs !== null || first.record.state === 'healthy').toBe(true);
      }),
    );
  });

  it('misses nothing between two looks: at any moment before the next it has nothing to do', () => {
    fc.assert(
      fc.property(records, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (record, share) => {
        const { record: next, againInMs, disable } = reviewHealth(record, NONE, POLICY, T0);
        fc.pre(!disable);
        const between = reviewHealth(next, NONE, POLICY, T0 + Math.floor(share * (againInMs ?? 30 * DAY)));
        expect([between.notices, between.probe, between.disable, between.record]).toEqual([
          [],
          false,
          false,
          next,
        ]);
      }),
    );
  });
});
