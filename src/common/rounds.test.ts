import { describe, expect, it } from '@jest/globals';
import { Rounds } from './rounds.js';

/** Rounds whose each round lasts until it is let end. */
function held(everyMs: number, apartMs?: number) {
  const begun: { end: () => void }[] = [];
  let waiting: (() => void) | undefined;
  const rounds = new Rounds(
    () =>
      new Promise((resolve) => {
        begun.push({ end: resolve });
        waiting?.();
      }),
    everyMs,
    apartMs,
  );
  const round = async (count: number) => {
    while (begun.length < count) await new Promise<void>((resolve) => (waiting = resolve));
    return begun[count - 1] ?? { end: () => undefined };
  };
  return { rounds, begun, round };
}
const HOUR_MS = 3_600_000;

describe('rounds', () => {
  it('begin when they are opened, and again after their time', async () => {
    const { rounds, round } = held(1);
    rounds.open();
    (await round(1)).end();
    (await round(2)).end();
    await rounds.close();
  });

  it('follow at once on one that somebody was told of work in, one for all', async () => {
    const { rounds, begun, round } = held(HOUR_MS);
    rounds.open();
    const first = await round(1);
    for (let count = 0; count < 3; count += 1) rounds.nudge();
    expect(begun).toHaveLength(1);
    first.end();
    (await round(2)).end();
    rounds.nudge();
    (await round(3)).end();
    await rounds.close();
    expect(begun).toHaveLength(3);
  });

  it('begin apart, however often there is work', async () => {
    const { rounds, round } = held(HOUR_MS, 50);
    rounds.open();
    (await round(1)).end();
    const firstMs = performance.now();
    rounds.nudge();
    (await round(2)).end();
    expect(performance.now() - firstMs).toBeGreaterThan(40);
    await rounds.close();
  });

  it('wait to be told where they are not to begin soon', async () => {
    const { rounds, begun, round } = held(1);
    rounds.nudge();
    rounds.open(false);
    await new Promise((resolve) => setImmediate(resolve));
    expect(begun).toHaveLength(0);
    rounds.nudge();
    (await round(1)).end();
    await rounds.close();
  });

  it('are over once the one that is under way has ended', async () => {
    const { rounds, begun, round } = held(1);
    rounds.open();
    const last = await round(1);
    rounds.nudge();
    let isOver = false;
    const closing = rounds.close().then(() => (isOver = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isOver).toBe(false);
    last.end();
    await closing;
    rounds.nudge();
    await new Promise((resolve) => setImmediate(resolve));
    expect(begun).toHaveLength(1);
  });
});
