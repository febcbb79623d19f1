import { describe, expect, it } from '@jest/globals';
import { Lead } from './lead.js';

/** The lead after so many came back for their moments, by timers that are so late. */
function leadAfter(lateMs: number, count: number, lead = new Lead()): Lead {
  for (let left = count; left > 0; left -= 1) lead.came(lateMs - lead.ms);
  return lead;
}

describe('how much before its moment an attempt is called back', () => {
  it('is nothing as long as nobody was late', () => {
    expect(leadAfter(0, 10).ms).toBe(0);
  });

  it.each([20, 300, 700])('is as much as timers are late: %i ms', (lateMs) => {
    expect(leadAfter(lateMs, 5).ms).toBeCloseTo(lateMs);
  });

  it('has a bound', () => {
    expect(leadAfter(60_000, 5).ms).toBe(800);
  });

  it('goes back by and by', () => {
    const lead = leadAfter(700, 5);
    const [first, all] = [leadAfter(10, 1, lead).ms, leadAfter(10, 200, lead).ms];
    expect(first).toBeGreaterThan(600);
    expect(all).toBeLessThan(20);
    expect(all).toBeGreaterThanOrEqual(10);
  });
});
