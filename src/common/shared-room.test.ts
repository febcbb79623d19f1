import { describe, expect, it } from '@jest/globals';
import { SharedRoom } from './shared-room.js';

const MOST = { items: 120, bytes: 12_000 };

function fill(room: SharedRoom, account: string, amount = { items: 1, bytes: 100 }): number {
  let entered = 0;
  while (room.enter(account, amount)) entered += 1;
  return entered;
}

describe('the room that accounts share', () => {
  it('is half for one that is alone', () => {
    expect(fill(new SharedRoom(MOST), 'a')).toBe(60);
  });

  it('leaves some to whoever comes next', () => {
    const room = new SharedRoom(MOST);
    expect(['a', 'b', 'c', 'd'].map((account) => fill(room, account))).toEqual([60, 30, 15, 8]);
    expect(room.enter('e', { items: 1, bytes: 1 })).toBe(true);
  });

  it('is less for one that may take but a part of what it leaves', () => {
    expect(fill(new SharedRoom(MOST, 0.5), 'a')).toBe(40);
  });

  it('is bounded by bytes as well as by items', () => {
    expect(fill(new SharedRoom(MOST), 'a', { items: 1, bytes: 3_000 })).toBe(2);
  });

  it('is as it was once all have left', () => {
    const room = new SharedRoom(MOST);
    const amount = { items: 3, bytes: 50 };
    for (const account of ['a', 'b', 'a']) {
      const entered = fill(room, account, amount);
      for (let left = 0; left < entered; left += 1) room.leave(account, amount);
    }
    expect(fill(room, 'a')).toBe(60);
  });
});
