import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { WARNING_DAYS } from '../../src/credentials/credential-expiry.js';
import { dueWarnings, nextWarningInMs } from '../../src/notifications/due-warnings.js';
import { nextTryInMs, TRIES_FOR_MS } from '../../src/verification/judge.js';
import { TimeSkipping } from './time-skipping.js';
import { WatchRunner } from './watch-runner.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** What a workflow task or two may take after a timer. */
const SLACK = 30 * SECOND;

let world: TimeSkipping;
let watches: WatchRunner | undefined;

beforeEach(async () => {
  world = await TimeSkipping.start();
});
afterEach(async () => {
  await watches?.stop();
  watches = undefined;
  await world.close();
});

const expectAt = (actual: number | undefined, wantedMs: number) => {
  expect(actual).toBeGreaterThanOrEqual(wantedMs);
  expect(actual).toBeLessThan(wantedMs + SLACK);
};

describe('the verification of an endpoint', () => {
  /** Milliseconds after the first try at which the receiver was asked. */
  let asked: number[];

  /** @param succeedsAt number of the try that succeeds; 0 for none */
  const receiver = async (succeedsAt: number) => {
    let beganAtMs: number | undefined;
    asked = [];
    watches = await WatchRunner.start(world.engine, {
      verifyEndpoint: async () => {
        const nowMs = await world.now();
        beganAtMs ??= nowMs;
        asked.push(nowMs - beganAtMs);
        return asked.length === succeedsAt ? null : nextTryInMs(asked.length, beganAtMs, nowMs);
      },
    });
    return watches.look('verification', 'ep_asked');
  };

  test('is tried at once, again after seconds, then ever less often, for a day', async () => {
    await (await receiver(0)).result();
    const minutes = [0, 1 / 6, 1, 5, 15, 30].reduce<number[]>(
      (at, gap) => [...at, (at.at(-1) ?? 0) + gap],
      [],
    );
    minutes.slice(0).forEach((minute, index) => expectAt(asked[index], minute * MINUTE));
    expect(asked.at(-1)).toBeLessThanOrEqual(TRIES_FOR_MS + SLACK);
    expect(asked.at(-1)).toBeGreaterThan(TRIES_FOR_MS - 2 * HOUR);
    asked.slice(6).forEach((atMs, index) => expectAt(atMs - (asked[index + 5] ?? 0), HOUR));
  });

  test('ends with the try that succeeds', async () => {
    await (await receiver(3)).result();
    expect(asked).toHaveLength(3);
  });

  test('is tried at once when somebody asks for it', async () => {
    const handle = await receiver(7);
    await world.pass(40 * MINUTE);
    const before = asked.length;
    await watches?.look('verification', 'ep_asked');
    await world.pass(SECOND);
    expect(asked.length).toBe(before + 1);
    await handle.result();
    expect(asked).toHaveLength(7);
  });
});

describe('credentials of an endpoint that end', () => {
  test('are seen to when they do: a secret after its overlap, a certificate 30, 7 and 1 days ahead', async () => {
    const beganAtMs = await world.now();
    const certificateEndsAtMs = beganAtMs + 400 * DAY;
    let secretEndsAtMs: number | null = beganAtMs + 7 * DAY;
    let warnedDays: number | null = null;
    const acts: { act: string; atMs: number }[] = [];
    watches = await WatchRunner.start(world.engine, {
      tendCredentials: async () => {
        const nowMs = await world.now();
        const done = (act: string) => acts.push({ act, atMs: nowMs - beganAtMs });
        if (secretEndsAtMs !== null && nowMs >= secretEndsAtMs) {
          secretEndsAtMs = null;
          done('secret ended');
        }
        if (nextWarningInMs(WARNING_DAYS, certificateEndsAtMs, warnedDays, nowMs) === 0) {
          warnedDays = Math.min(...dueWarnings(WARNING_DAYS, certificateEndsAtMs, nowMs));
          done(`warned of ${warnedDays} days`);
        }
        const waits = [
          secretEndsAtMs === null ? null : secretEndsAtMs - nowMs,
          nextWarningInMs(WARNING_DAYS, certificateEndsAtMs, warnedDays, nowMs),
        ].filter((ms) => ms !== null);
        return waits.length === 0 ? null : Math.min(...waits);
      },
    });
    await (await watches.look('credentials', 'ep_ending')).result();
    expect(acts.map(({ act }) => act)).toEqual([
      'secret ended',
      'warned of 30 days',
      'warned of 7 days',
      'warned of 1 days',
    ]);
    [7, 370, 393, 399].forEach((day, index) => expectAt(acts[index]?.atMs, day * DAY));
  });
});
