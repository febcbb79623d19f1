import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Queued } from './fair-queue.js';
import { Lane } from './lane.js';

const always = () => true;

const item = (deliveryId: string, accountId = 'a'): Queued => ({
  deliveryId,
  accountId,
  endpointId: accountId,
  priority: 3,
});

function laneOf(places: { all: number; backlogs: number }, count: number): Lane<Queued> {
  const lane = new Lane<Queued>(places);
  for (let index = 0; index < count; index += 1) lane.queue.push(item(`d${index}`), 0);
  return lane;
}

function takeAll(lane: Lane<Queued>, backlogs: 'any' | 'few' | 'none'): string[] {
  const taken: string[] = [];
  for (let next = lane.take(0, backlogs, always); next; next = lane.take(0, backlogs, always))
    taken.push(next.deliveryId);
  return taken;
}

describe('a lane', () => {
  it('gives out no more places than it has, and each again once it is free', () => {
    const lane = laneOf({ all: 4, backlogs: 2 }, 10);
    expect(takeAll(lane, 'any')).toEqual(['d0', 'd1', 'd2', 'd3']);
    expect(lane.busy).toBe(4);
    lane.free('d1');
    expect(takeAll(lane, 'any')).toEqual(['d4']);
  });

  it('frees a place once, however often it is told, and none for a delivery that has none', () => {
    const lane = laneOf({ all: 2, backlogs: 2 }, 10);
    takeAll(lane, 'any');
    lane.free('d0');
    lane.free('d0');
    lane.free('never');
    expect(lane.busy).toBe(1);
    expect(takeAll(lane, 'few')).toEqual(['d2']);
  });

  it('gives backlogs a few places when told to, and the others to whoever has none', () => {
    const lane = laneOf({ all: 6, backlogs: 2 }, 10);
    expect(takeAll(lane, 'few')).toEqual(['d0', 'd1']);
    lane.queue.push(item('light', 'b'), 0);
    expect(takeAll(lane, 'few')).toEqual(['light']);
    lane.free('d0');
    expect(takeAll(lane, 'few')).toEqual(['d2']);
  });

  it('gives a backlog nothing when told so, and one that keeps up its place all the same', () => {
    const lane = laneOf({ all: 6, backlogs: 2 }, 10);
    lane.queue.push(item('light', 'b'), 0);
    expect(takeAll(lane, 'none')).toEqual(['light']);
  });

  it('knows what has a place, what waits, and which of them came from a backlog', () => {
    const lane = laneOf({ all: 1, backlogs: 1 }, 10);
    takeAll(lane, 'any');
    expect([lane.has('d0'), lane.has('d1'), lane.has('other')]).toEqual([true, true, false]);
    expect([lane.isOfBacklog('d0'), lane.isOfBacklog('d1')]).toEqual([true, false]);
    lane.free('d0');
    expect([lane.has('d0'), lane.isOfBacklog('d0')]).toEqual([false, false]);
  });

  it('is full when three quarters of its places are taken', () => {
    const lane = laneOf({ all: 4, backlogs: 4 }, 10);
    const states = [1, 2, 3, 4].map(() => {
      lane.take(0, 'any', always);
      return lane.isFull;
    });
    expect(states).toEqual([false, false, true, true]);
  });

  it('keeps to both bounds whatever comes and goes', () => {
    const step = fc.record({
      do: fc.constantFrom('push', 'flood', 'take', 'take', 'free'),
      account: fc.nat(3),
      pick: fc.nat(100),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 4 }),
        fc.array(step, { maxLength: 120 }),
        (all, backlogs, steps) => {
          const lane = new Lane<Queued>({ all, backlogs });
          const busy: string[] = [];
          let next = 0;
          for (const each of steps) {
            if (each.do === 'push' || each.do === 'flood')
              for (let count = each.do === 'flood' ? 10 : 1; count > 0; count -= 1)
                lane.queue.push(item(`d${(next += 1)}`, `a${each.account}`), 0);
            if (each.do === 'take') busy.push(...[lane.take(0, 'few', always)?.deliveryId ?? []].flat());
            if (each.do === 'free') lane.free(busy.splice(each.pick % Math.max(busy.length, 1), 1)[0] ?? '');
            expect(lane.busy).toBe(busy.length);
            expect(busy.length).toBeLessThanOrEqual(all);
            expect(busy.filter((id) => lane.isOfBacklog(id)).length).toBeLessThanOrEqual(backlogs);
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
