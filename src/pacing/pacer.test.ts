import { describe, expect, it } from '@jest/globals';
import { steadyMs, toSystemMs } from '../common/steady-clock.js';
import { readSettings } from '../config/settings.js';
import type { Database } from '../database/database.js';
import { type Admission, Pacer } from './pacer.js';
import type { Reservations } from './reservations.js';

const LIMITS = { perSecond: 20, burst: 5, maxInFlight: 32 };

/** A pacer that is given the next moment of a limited endpoint so many milliseconds from now. */
function pacerWith(nextInMs: number) {
  const reserved: number[] = [];
  // Nothing else is asked of either here: where moments come from is tested with PostgreSQL.
  const reservations = {
    reserve: () => {
      const slot = steadyMs() + nextInMs;
      reserved.push(slot);
      return Promise.resolve({ limits: LIMITS, slots: [slot] });
    },
  } as unknown as Reservations;
  const pacer = new Pacer({} as Database, reservations, readSettings({}));
  const pace = pacer.of('endpoint');
  pace.learn(LIMITS, 0);
  return { pacer, pace, reserved };
}

const expectBackAt = (admission: Admission, slot = NaN) => {
  expect(admission.kind).toBe('deferred');
  // The system's clock has whole milliseconds.
  if (admission.kind === 'deferred') expect(admission.slotAtMs).toBeCloseTo(toSystemMs(slot), -1);
};

describe('an attempt at a limited endpoint', () => {
  it('comes back at the next moment, which is its own', async () => {
    const { pacer, pace, reserved } = pacerWith(300);
    const admission = await pacer.admit('delivery', pace);
    expectBackAt(admission, reserved[0]);
  });

  it('comes back earlier than that where others came late', async () => {
    const { pacer, pace, reserved } = pacerWith(2_000);
    await pacer.admit('late', pace, Date.now() - 150);
    const admission = await pacer.admit('delivery', pace);
    expectBackAt(admission, reserved[0]);
    const { waitMs } = admission as Extract<typeof admission, { kind: 'deferred' }>;
    expect(waitMs).toBeLessThanOrEqual(2_000 - 148);
    // And then waits for its moment in place.
    const early = await pacer.admit('delivery', pace, Date.now() + 100);
    expect([early, reserved.length]).toEqual([{ kind: 'look_again' }, 1]);
  });

  it('goes at its own moment without another', async () => {
    const { pacer, pace, reserved } = pacerWith(300);
    expect(await pacer.admit('delivery', pace, Date.now())).toEqual({ kind: 'go' });
    expect(reserved).toEqual([]);
  });

  it('waits in place for the next one when it has missed its own, and is looked at once more', async () => {
    const { pacer, pace, reserved } = pacerWith(300);
    const admission = await pacer.admit('delivery', pace, Date.now() - 5_000);
    expect(steadyMs()).toBeGreaterThanOrEqual((reserved[0] ?? Infinity) - 1);
    expect(admission).toEqual({ kind: 'look_again' });
    expect(await pacer.admit('delivery', pace, Date.now() - 5_000)).toEqual({ kind: 'go' });
    expect(reserved).toHaveLength(1);
  });

  it('comes back all the same when that is long', async () => {
    const { pacer, pace, reserved } = pacerWith(3_000);
    const admission = await pacer.admit('delivery', pace, Date.now() - 5_000);
    expectBackAt(admission, reserved[0]);
  });
});

describe('when most places are taken', () => {
  const MOST = 16;

  it('endpoints of an account with more under way than it leaves have two at once, and others as many as before', () => {
    const settings = readSettings({ POSTHORN_ATTEMPT_CONCURRENCY: String(MOST) });
    const pacer = new Pacer({} as Database, {} as Reservations, settings);
    const take = (account: string, endpoint: string, count: number) => {
      for (let taken = 0; taken < count; taken += 1)
        pacer.enter(`${endpoint}/${pacer.of(endpoint).entered}`, endpoint, account);
    };
    const isCrowded = (endpoint: string) => pacer.isCrowded(pacer.of(endpoint));
    take('many', 'a', 9);
    take('few', 'c', 2);
    expect([isCrowded('a'), isCrowded('c')]).toEqual([false, false]);
    take('many', 'b', 1);
    expect(['a', 'b', 'c'].map(isCrowded)).toEqual([true, false, false]);
    take('many', 'b', 1);
    expect(['a', 'b', 'c'].map(isCrowded)).toEqual([true, true, false]);
    pacer.leave('a/0', null);
    pacer.leave('a/1', null);
    expect(isCrowded('a')).toBe(false);
  });
});

describe('an attempt that is under way', () => {
  it('keeps its place when somebody else was about to begin it, and gives it back once', async () => {
    const { pacer, pace } = pacerWith(0);
    pacer.enter('delivery', 'endpoint', 'account');
    pace.learn({ ...LIMITS, perSecond: null }, 0);
    expect(await pacer.admit('delivery', pace)).toEqual({ kind: 'go' });
    expect([pacer.has('delivery'), pace.entered, pace.inFlight]).toEqual([true, 1, 1]);
    pacer.enter('delivery', 'endpoint', 'account');
    expect([pace.entered, pace.inFlight]).toEqual([1, 1]);
    // Whoever was about to finds that its workflow runs already.
    pacer.giveUp('delivery');
    expect([pacer.has('delivery'), pace.entered, pace.inFlight]).toEqual([true, 1, 1]);
    pacer.leave('delivery', { durationMs: 10, failed: false });
    pacer.leave('delivery', null);
    expect([pacer.has('delivery'), pace.entered, pace.inFlight]).toEqual([false, 0, 0]);
  });

  it('is counted no more when it will not be made', () => {
    const { pacer, pace } = pacerWith(0);
    pacer.enter('delivery', 'endpoint', 'account');
    pacer.giveUp('delivery');
    expect([pacer.has('delivery'), pace.entered]).toEqual([false, 0]);
  });

  it('is counted once where somebody else was about to begin it while it waited for its moment', async () => {
    const { pacer, pace } = pacerWith(100);
    // It has missed its own, and waits for the next one in place.
    const admission = pacer.admit('delivery', pace, Date.now() - 5_000);
    pacer.enter('delivery', 'endpoint', 'account');
    expect(await admission).toEqual({ kind: 'look_again' });
    expect([pace.entered, pace.inFlight]).toEqual([1, 1]);
    pacer.leave('delivery', null);
    expect([pace.entered, pace.inFlight]).toEqual([0, 0]);
  });

  it.each([
    ['fast', 'waits in line for the places that first attempts hand on', 20, 'go'],
    ['slow', 'comes back later', 2_000, 'deferred'],
  ])('of a workflow at a %s receiver whose places are taken %s', async (_, _what, durationMs, kind) => {
    const { pacer, pace } = pacerWith(0);
    pace.learn({ perSecond: null, burst: 1, maxInFlight: 1 }, 0);
    expect(await pacer.admit('known', pace)).toEqual({ kind: 'go' });
    pacer.leave('known', { durationMs, failed: false });
    expect(await pacer.admit('first', pace)).toEqual({ kind: 'go' });
    pacer.enter('next', 'endpoint', 'account');
    const next = pacer.admit('next', pace);
    const retry = pacer.admit('retry', pace);
    pacer.leave('first', null);
    expect(await next).toEqual({ kind: 'go' });
    pacer.leave('next', null);
    expect(await retry).toMatchObject({ kind });
  });

  it('takes no place that it is given after it was left', async () => {
    const { pacer, pace } = pacerWith(0);
    pace.learn({ perSecond: null, burst: 1, maxInFlight: 1 }, 0);
    expect(await pacer.admit('first', pace)).toEqual({ kind: 'go' });
    pacer.enter('second', 'endpoint', 'account');
    const waiting = pacer.admit('second', pace);
    // Another request of the same attempt has ended.
    pacer.leave('second', null);
    pacer.leave('first', null);
    expect(await waiting).toEqual({ kind: 'look_again' });
    expect([pace.entered, pace.inFlight, pace.hasRoom]).toEqual([0, 0, true]);
  });
});
