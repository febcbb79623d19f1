import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Queued } from './fair-queue.js';
import { Lane, type Room } from './lane.js';

const always = () => true;
/** What backlogs get while nobody without one is expected, while one is, and while one is about to come. */
const ROOM = {
  any: { leaves: false, lightIsComing: false },
  few: { leaves: true, lightIsComing: false },
  none: { leaves: true, lightIsComing: true },
} satisfies Record<string, Room>;

const item = (deliveryId: string, accountId = 'a'): Queued => ({
  deliveryId,
  accountId,
  endpointId: accountId,
  priority: 3,
});

function laneOf(places: { all: number; backlogs: number; yieldMs?: number }, count: number): Lane<Queued> {
  const lane = new Lane<Queued>({ yieldMs: 10, ...places });
  for (let index = 0; index < count; index += 1) lane.queue.push(item(`d${index}`), 0);
  return lane;
}

function takeAll(lane: Lane<Queued>, room: keyof typeof ROOM, nowMs = 0): string[] {
  const taken: string[] = [];
  const take = () => lane.take(nowMs, ROOM[room], always);
  for (let next = take(); next; next = take()) taken.push(next.deliveryId);
  return taken;
}

describe('a lane', () => {
  it('gives out no more places than it has, and each again once it is free', () => {
    const lane = laneOf({ all: 4, backlogs: 2 }, 40);
    expect(takeAll(lane, 'any')).toEqual(['d0', 'd1', 'd2', 'd3']);
    expect(lane.busy).toBe(4);
    lane.free('d1');
    expect(takeAll(lane, 'any')).toEqual(['d4']);
  });

  it('frees a place once, however often it is told, and none for a delivery that has none', () => {
    const lane = laneOf({ all: 2, backlogs: 2 }, 40);
    takeAll(lane, 'any');
    lane.free('d0');
    lane.free('d0');
    lane.free('never');
    expect(lane.busy).toBe(1);
    expect(takeAll(lane, 'few')).toEqual(['d2']);
  });

  it('gives backlogs a few places when told to, and the others to whoever has none', () => {
    const lane = laneOf({ all: 6, backlogs: 2 }, 40);
    expect(takeAll(lane, 'few')).toEqual(['d0', 'd1']);
    lane.queue.push(item('light', 'b'), 0);
    expect(takeAll(lane, 'few')).toEqual(['light']);
    lane.free('light');
    lane.free('d0');
    expect(takeAll(lane, 'few')).toEqual(['d2']);
  });

  it('lets backlogs wait for those without one who are about to be sent or to come, and not for ever', () => {
    const lane = laneOf({ all: 6, backlogs: 2, yieldMs: 10 }, 40);
    expect(takeAll(lane, 'few', 1_000)).toEqual(['d0', 'd1']);
    lane.free('d0');
    expect(takeAll(lane, 'none', 1_009)).toEqual([]);
    lane.queue.push(item('light', 'b'), 1_009);
    expect(takeAll(lane, 'few', 1_009)).toEqual(['light']);
    expect(takeAll(lane, 'few', 1_010)).toEqual(['d2']);
    lane.free('d1');
    expect(takeAll(lane, 'few', 1_011)).toEqual([]);
    // What waits for its receiver is held up by nobody here.
    lane.sent('light');
    expect(takeAll(lane, 'few', 1_011)).toEqual(['d3']);
  });

  it('gives a backlog nothing when told so, and one that keeps up its place all the same', () => {
    const lane = laneOf({ all: 6, backlogs: 2 }, 40);
    lane.queue.push(item('light', 'b'), 0);
    expect(takeAll(lane, 'none')).toEqual(['light']);
  });

  it('knows what has a place, what waits, and which of them came from a backlog', () => {
    const lane = laneOf({ all: 1, backlogs: 1 }, 40);
    takeAll(lane, 'any');
    expect([lane.has('d0'), lane.has('d1'), lane.has('other')]).toEqual([true, true, false]);
    expect([lane.isOfBacklog('d0'), lane.isOfBacklog('d1')]).toEqual([true, false]);
    lane.free('d0');
    expect([lane.has('d0'), lane.isOfBacklog('d0')]).toEqual([false, false]);
  });

  it('is full when three quarters of its places are taken', () => {
    const lane = laneOf({ all: 4, backlogs: 4 }, 40);
    const states = [1, 2, 3, 4].map(() => {
      lane.take(0, ROOM.any, always);
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
          const lane = new Lane<Queued>({ all, backlogs, yieldMs: 10 });
          const busy: string[] = [];
          let next = 0;
          for (const each of steps) {
            if (each.do === 'push' || each.do === 'flood')
              for (let count = each.do === 'flood' ? 10 : 1; count > 0; count -= 1)
                lane.queue.push(item(`d${(next += 1)}`, `a${each.account}`), 0);
            if (each.do === 'take') busy.push(...[lane.take(0, ROOM.few, always)?.deliveryId ?? []].flat());
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
