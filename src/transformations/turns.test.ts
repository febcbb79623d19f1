import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Turns } from './turns.js';

interface Item {
  accountId: string;
  endpointId: string;
}
const item = (endpointId: string, accountId = `of ${endpointId}`): Item => ({ accountId, endpointId });

describe('turns', () => {
  it('go round by endpoint', () => {
    const turns = new Turns<Item>(2);
    for (const id of ['a', 'a', 'a', 'b', 'c']) turns.push(item(id));
    const order = Array.from({ length: 5 }, () => {
      const turn = turns.take(0);
      turn?.free();
      return turn?.item.endpointId;
    });
    expect(order).toEqual(['a', 'b', 'c', 'a', 'a']);
    expect(turns.take(0)).toBeUndefined();
  });

  it('leave a place to other accounts', () => {
    const turns = new Turns<Item>(3);
    for (const id of ['a', 'b', 'c', 'd']) turns.push(item(id, 'one'));
    turns.push(item('e', 'two'));
    const taken = [turns.take(0), turns.take(0), turns.take(0)];
    expect(taken.map((turn) => turn?.item.endpointId)).toEqual(['a', 'b', 'e']);
    expect(turns.take(0)?.item.endpointId).toBeUndefined();
    taken[0]?.free();
    expect(turns.take(0)?.item.endpointId).toBe('c');
  });

  it('let those that had to be ended lately share one place, for a minute', () => {
    const turns = new Turns<Item>(4);
    for (const id of ['a', 'b', 'c']) {
      turns.wasCostly(item(id), 0);
      turns.push(item(id));
    }
    turns.push(item('well'));
    const first = turns.take(1);
    expect(first?.item.endpointId).toBe('a');
    expect(turns.take(1)?.item.endpointId).toBe('well');
    expect(turns.take(1)).toBeUndefined();
    first?.free();
    expect(turns.take(1)?.item.endpointId).toBe('b');
    expect(turns.take(1)).toBeUndefined();
    expect(turns.take(60_001)?.item.endpointId).toBe('c');
  });

  it('know what is costly by the program, whichever endpoint it runs for', () => {
    const turns = new Turns<Item & { programId?: string }>(4);
    turns.wasCostly({ ...item('a'), programId: 'endless' }, 0);
    for (const id of ['a', 'b']) turns.push({ ...item(id), programId: 'endless' });
    for (const id of ['b', 'c']) turns.push(item(id));
    const taken = Array.from({ length: 4 }, () => turns.take(1)?.item);
    expect(taken.map((each) => each && [each.endpointId, each.programId])).toEqual([
      ['a', 'endless'],
      ['b', undefined],
      ['c', undefined],
      undefined,
    ]);
  });

  it('are given back by those who wait no longer', () => {
    const turns = new Turns<Item>(2);
    const [first, second] = [item('a'), item('a')];
    turns.push(first);
    turns.push(second);
    expect(turns.remove(first)).toBe(true);
    expect(turns.remove(first)).toBe(false);
    expect(turns.waitingWith(first)).toBe(1);
    expect(turns.take(0)?.item).toBe(second);
    expect(turns.size).toBe(0);
  });

  it('come to everyone who pushes, in order within an endpoint', () => {
    const endpoint = fc.constantFrom('a', 'b', 'c', 'd');
    fc.assert(
      fc.property(
        fc.array(endpoint),
        fc.array(endpoint),
        fc.integer({ min: 2, max: 5 }),
        (ids, costly, places) => {
          const turns = new Turns<Item & { index: number }>(places);
          for (const id of costly) turns.wasCostly(item(id), 0);
          ids.forEach((id, index) => turns.push({ ...item(id), index }));
          const seen: (Item & { index: number })[] = [];
          for (let turn = turns.take(0); turn; turn = turns.take(0)) {
            seen.push(turn.item);
            turn.free();
          }
          expect(seen).toHaveLength(ids.length);
          expect(turns.size).toBe(0);
          for (const id of new Set(ids)) {
            const indices = seen.filter(({ endpointId }) => endpointId === id).map(({ index }) => index);
            expect(indices).toEqual([...indices].sort((a, b) => a - b));
          }
        },
      ),
    );
  });
});
