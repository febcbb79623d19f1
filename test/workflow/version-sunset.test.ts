import { Context } from '@temporalio/activity';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type AfterSunset, pinAt } from '../../src/event-types/version-life.js';
import { playedActivities, response } from './played-activities.js';
import { TimeSkipping } from './time-skipping.js';

const DAY_S = 24 * 3600;
const DAY_MS = DAY_S * 1000;
const ANSWERS = [503, 503, 503, 200].map((statusCode) => ({
  ok: true as const,
  durationMs: 12,
  response: { ...response(statusCode), headers: {} },
}));

describe('a delivery that waits beyond the sunset of the version that its endpoint pins', () => {
  let world: TimeSkipping;
  beforeAll(async () => {
    world = await TimeSkipping.start();
  });
  afterAll(() => world.close());

  /** Tried once a day, while version 1 ends in two and a half days. */
  const deliverTo = async (afterSunset: AfterSunset) => {
    const sent: string[] = [];
    const sunsetAtMs = (await world.now()) + 2.5 * DAY_MS;
    const lives = [
      { version: '1', deprecatedAtMs: null, sunsetAtMs, afterSunset },
      { version: '2', deprecatedAtMs: null, sunsetAtMs: null, afterSunset },
    ];
    const pinOf = (_type: string, pinned: string | null) => {
      // By the clock that is skipped: the catalogue's own is the machine's.
      const version = pinAt(lives, pinned ?? '', Context.current().info.currentAttemptScheduledTimestampMs);
      return version === null ? ('stopped' as const) : { version };
    };
    const delivery = await world.runner.deliverThrough(
      playedActivities({
        answers: ANSWERS,
        sent,
        catalogue: { pinOf },
        loads: { pinned_version: '1', retry_schedule: [DAY_S, DAY_S, DAY_S] },
      }),
    );
    return { sent, result: delivery.result() };
  };

  it('is skipped by the first attempt after it, where deliveries are to stop', async () => {
    const { sent, result } = await deliverTo('stop');
    await expect(result).rejects.toMatchObject({ cause: { type: 'version_sunset' } });
    expect(sent).toHaveLength(3);
  });

  it('goes on where the pin is to move', async () => {
    const { sent, result } = await deliverTo('move');
    expect(await result).toEqual({ status: 'delivered', attempts: 4 });
    expect(sent).toHaveLength(4);
  });
});
