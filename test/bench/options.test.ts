import { describe, expect, test } from '@jest/globals';
import { readOptions } from '../../bench/options.js';

describe("the bench's options", () => {
  test('without a scenario are throughput and latency, in every lane', () => {
    const { scenarios, lanes } = readOptions([]);
    expect({ scenarios, lanes }).toEqual({
      scenarios: ['throughput', 'latency'],
      lanes: ['durable', 'express', 'auto'],
    });
  });

  test('take scenarios as words and by name', () => {
    expect(readOptions(['noisy', '--scenario', 'fanout,priority']).scenarios).toEqual([
      'noisy',
      'fanout',
      'priority',
    ]);
  });

  test.each([
    [['quiet'], 'scenario: there is no quiet'],
    [['--lane', 'fast'], '--lane: there is no fast'],
    [['--client', 'curl'], '--client: there is no curl'],
    [['--events', '0'], '--events must be a whole number above 0'],
    [['--accounts', '1,x'], '--accounts must be a whole number above 0'],
  ])('refuse %j', (args, message) => {
    expect(() => readOptions(args)).toThrow(message);
  });
});
