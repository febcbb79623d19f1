import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { ITEM } from '../../test/support/dispatch-item.js';
import type { Database } from '../database/database.js';
import type { DispatchItem } from './dispatch-item.js';
import { ExpressConversions } from './express-conversions.js';
import type { ProcessLease } from './process-lease.js';

/** @param answers of the record, one after the other: who is this process's, or a failure */
function conversionsOf(...answers: (string[] | Error)[]) {
  let asked = 0;
  const prepared = () => {
    const answer = answers[asked] ?? [];
    asked += 1;
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer.map((id) => ({ id })));
  };
  const fates: (DispatchItem | null)[] = [];
  let known: () => void = () => undefined;
  const fate = new Promise<void>((resolve) => (known = resolve));
  const conversions = new ExpressConversions(
    // One statement is run under the id of one lease; a database that fails just so often cannot be had.
    { prepared } as unknown as Database,
    { current: '7' } as unknown as ProcessLease,
    pino({ level: 'silent' }),
    (item) => {
      fates.push(item);
      known();
    },
  );
  return { conversions, fate, fates, asked: () => asked };
}

describe('a delivery that becomes express', () => {
  it('is so once the record says it', async () => {
    const { conversions, fate, fates } = conversionsOf(['d']);
    conversions.add(ITEM);
    expect([conversions.size, conversions.has('d')]).toEqual([1, true]);
    await fate;
    expect(fates).toEqual([{ ...ITEM, express: true }]);
    expect([conversions.size, conversions.has('d')]).toEqual([0, false]);
  });

  it('is tried again where the record could not be written', async () => {
    const { conversions, fate, fates, asked } = conversionsOf(new Error('away'), ['d']);
    conversions.add(ITEM);
    await fate;
    expect(asked()).toBe(2);
    expect(fates).toEqual([{ ...ITEM, express: true }]);
  });

  it("is left where the record says that it is not this process's any more", async () => {
    const { conversions, fate, fates } = conversionsOf([]);
    conversions.add(ITEM);
    await fate;
    expect(fates).toEqual([null]);
  });

  it('is not tried again once it was forgotten', async () => {
    const { conversions, fate, fates, asked } = conversionsOf(new Error('away'), ['d']);
    conversions.add(ITEM);
    conversions.clear();
    await fate;
    expect([asked(), fates]).toEqual([1, [null]]);
  });
});
