import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { lookSignal } from '../../workflows/contracts.js';
import { TimeSkipping } from './time-skipping.js';
import { WatchRunner } from './watch-runner.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
/** What a workflow task or two may take after a timer. */
const SLACK = 30 * SECOND;

let world: TimeSkipping;
let runner: WatchRunner | undefined;

beforeEach(async () => {
  world = await TimeSkipping.start();
});
afterEach(async () => {
  await runner?.stop();
  runner = undefined;
  await world.close();
});

describe('the window in which events are collected for an endpoint', () => {
  /** Milliseconds after the opening at which it was looked whether the window is over. */
  let looks: number[];

  /** @param answers of the looks, one after the other; none after the last. An error is a failure of ours */
  const open = async (closesInMs: number, answers: (number | Error)[] = []) => {
    looks = [];
    const openedAtMs = await world.now();
    const left = answers.values();
    runner = await WatchRunner.start(world.engine, {
      closeWindow: async (input) => {
        expect(input).toEqual({ endpointId: 'ep_collecting', windowId: 'one' });
        looks.push((await world.now()) - openedAtMs);
        const answer = left.next().value ?? null;
        if (answer instanceof Error) throw answer;
        return answer;
      },
    });
    return runner.collect('ep_collecting', 'one', closesInMs);
  };
  const expectLooks = (...wantedMs: number[]) => {
    expect(looks).toHaveLength(wantedMs.length);
    wantedMs.forEach((ms, index) => {
      expect(looks[index]).toBeGreaterThanOrEqual(ms);
      expect(looks[index]).toBeLessThan(ms + SLACK);
    });
  };

  test('is closed when its time is over, and not before', async () => {
    const handle = await open(60 * MINUTE);
    await world.pass(59 * MINUTE);
    expectLooks();
    await handle.result();
    expectLooks(60 * MINUTE);
  });

  test('goes on where it was full earlier, until what was left has waited long enough', async () => {
    await (await open(5 * MINUTE, [4 * MINUTE, 3 * MINUTE])).result();
    expectLooks(5 * MINUTE, 9 * MINUTE, 12 * MINUTE);
  });

  test('ends at once when it is told that nothing is left', async () => {
    const handle = await open(60 * MINUTE);
    await world.pass(10 * MINUTE);
    await handle.signal(lookSignal);
    await handle.result();
    expectLooks(10 * MINUTE);
  });

  test('is closed as soon as it can be, when our database is away at its end', async () => {
    const away = new Error('the database is away');
    await (await open(5 * MINUTE, [away, away, away])).result();
    expect(looks).toHaveLength(4);
    expectLooks(...Array<number>(4).fill(5 * MINUTE));
  });

  test('holds nothing of an event in its history', async () => {
    const handle = await open(MINUTE);
    await handle.result();
    const { events } = await handle.fetchHistory();
    expect(
      events?.map(({ activityTaskScheduledEventAttributes: scheduled }) => scheduled).filter(Boolean),
    ).toHaveLength(1);
    expect(events?.length).toBeLessThan(20);
  });
});
