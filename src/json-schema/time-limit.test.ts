import { describe, expect, it } from '@jest/globals';
import { TimeLimitError, withinTime } from './time-limit.js';

const LONG_MS = 10_000;

describe('work within a time limit', () => {
  it('gives its result, or what it throws', () => {
    expect(withinTime(LONG_MS, () => 42)).toBe(42);
    expect(withinTime(LONG_MS, () => null)).toBeNull();
    expect(() =>
      withinTime(LONG_MS, () => {
        throw new TypeError('mine');
      }),
    ).toThrow(TypeError);
  });

  it('is stopped wherever it is', () => {
    const endless = [
      () => {
        for (;;);
      },
      () => /^(a+)+$/.test(`${'a'.repeat(60)}!`),
      () => {
        try {
          for (;;);
        } catch {
          return 'caught';
        }
      },
    ];
    for (const work of endless) expect(() => withinTime<unknown>(20, work)).toThrow(TimeLimitError);
    expect(withinTime(LONG_MS, () => 'still fine')).toBe('still fine');
  });

  it('is begun once more where it has waited for a processor, and for nothing else', () => {
    let runs = 0;
    const kept = () => {
      runs += 1;
      if (runs === 1) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
      return 'done';
    };
    expect(withinTime(50, kept)).toBe('done');
    expect(runs).toBe(2);
    const busy = () => {
      runs += 1;
      for (;;);
    };
    expect(() => withinTime<unknown>(500, busy)).toThrow(TimeLimitError);
    expect(runs).toBe(3);
  });

  it('may have such work in it', () => {
    const inner = () => {
      try {
        return withinTime(20, () => {
          for (;;);
        });
      } catch (error) {
        return error;
      }
    };
    expect(withinTime(LONG_MS, () => [inner(), withinTime(LONG_MS, () => 1)])).toEqual([
      expect.any(TimeLimitError),
      1,
    ]);
  });
});
