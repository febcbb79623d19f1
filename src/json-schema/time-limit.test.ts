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
