import { describe, expect, it } from '@jest/globals';
import { MockActivityEnvironment } from '@temporalio/testing';
import { toId } from '../src/common/ids.js';
import type { AttemptRequest, AttemptResult } from '../workflows/contracts.js';
import { UNSPENT } from '../workflows/schedule.js';
import { createDeliveryActivities } from './delivery.activities.js';

const REQUEST: AttemptRequest = {
  deliveryId: toId('delivery', '01900000-0000-7000-8000-000000000001'),
  number: 2,
  trigger: 'manual',
  budget: UNSPENT,
  jitter: 0,
};
const ENDED: AttemptResult = { kind: 'ended', status: 'cancelled', reason: null };

describe('an attempt', () => {
  it('asks for a moment anew when the one that was reserved for it has been forgotten', async () => {
    const asked: (number | undefined)[] = [];
    // A moment that lies ahead is kept to, whoever asks.
    const attempter = {
      attempt: (_: string, { slotAtMs }: AttemptRequest): Promise<AttemptResult> => {
        if (asked.push(slotAtMs) > 2) throw new Error('it goes round and round');
        return Promise.resolve(
          slotAtMs === undefined ? ENDED : { kind: 'deferred', waitMs: 60_000, slotAtMs },
        );
      },
    };
    const activities = createDeliveryActivities({
      onAttempt: () => undefined,
      attempter,
      loader: { defer: () => Promise.resolve(false) },
      recorder: { record: () => Promise.resolve() },
      cancelRecorder: { record: () => Promise.resolve() },
    });
    const attempt = () => activities.attemptDelivery({ ...REQUEST, slotAtMs: 1_900_000_000_000 });
    expect(await new MockActivityEnvironment().run(attempt)).toEqual(ENDED);
    expect(asked).toEqual([1_900_000_000_000, undefined]);
  });
});
