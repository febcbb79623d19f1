import { describe, expect, it } from '@jest/globals';
import { UnderWay } from './under-way.js';

const MOST = 8;

function underWay() {
  const letGo: string[] = [];
  const works = new UnderWay(MOST, (endpointId) => letGo.push(endpointId));
  const ends: (() => void)[] = [];
  const begin = (accountId: string) => {
    const work = new Promise<void>((resolve) => ends.push(resolve));
    const deliveryId = `d${ends.length}`;
    return new Promise<void>((resolve) => works.add({ deliveryId, accountId }, work, resolve));
  };
  /** Begins what may begin. @returns how many that were */
  const fill = (accountId: string) => {
    let begun = 0;
    for (; works.hasShare('e', accountId); begun += 1) void begin(accountId);
    return begun;
  };
  return { works, letGo, ends, begin, fill };
}

describe('first attempts under way', () => {
  it('are half of all for an account that is alone, and less for each that comes next', () => {
    const { works, fill } = underWay();
    expect(['a', 'b', 'c', 'd'].map(fill)).toEqual([4, 2, 1, 1]);
    expect(works.isFull).toBe(true);
  });

  it('are not under way any more when what follows is done', async () => {
    const { works, ends, begin } = underWay();
    const ended = begin('a').then(() => works.has('d1'));
    expect(works.has('d1')).toBe(true);
    ends[0]?.();
    expect(await ended).toBe(false);
  });

  it('let go of the endpoints that found no share once one of their account has ended', async () => {
    const { works, letGo, ends, begin, fill } = underWay();
    const first = begin('a');
    fill('a');
    expect(works.hasShare('f', 'a')).toBe(false);
    expect(letGo).toEqual([]);
    ends[0]?.();
    await first;
    expect(letGo).toEqual(['e', 'f']);
    expect(works.hasShare('f', 'a')).toBe(true);
  });

  it('are waited for, those that are under way by then', async () => {
    const { works, ends, begin } = underWay();
    const order: string[] = [];
    void begin('a').then(() => order.push('ended'));
    const waited = works.ended().then(() => order.push('waited'));
    ends[0]?.();
    await waited;
    expect(order).toEqual(['ended', 'waited']);
  });
});
