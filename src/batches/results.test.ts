import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { outcomeOf, readResults } from './results.js';

describe('what a receiver says of each event', () => {
  it('is read by the ids of events, and more than that is passed over', () => {
    const body = '{"took":3,"results":[{"id":"evt_1","status":200,"note":"x"},{"id":"evt_2","status":503}]}';
    expect(readResults(body)).toEqual(
      new Map([
        ['evt_1', 200],
        ['evt_2', 503],
      ]),
    );
    expect(readResults('{"results":[]}')).toEqual(new Map());
  });

  it.each([
    undefined,
    '',
    'ok',
    'null',
    '[]',
    '{}',
    '{"results":{}}',
    '{"results":[1]}',
    '{"results":[{"id":1,"status":200}]}',
    '{"results":[{"id":"evt_1"}]}',
    '{"results":[{"id":"evt_1","status":"200"}]}',
    '{"results":[{"id":"evt_1","status":2000}]}',
    '{"results":[{"id":"evt_1","status":200}',
  ])('is not guessed from %s', (body) => {
    expect(readResults(body)).toBeNull();
  });

  it('never throws, whatever comes', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (body) => void readResults(body)));
    fc.assert(fc.property(fc.jsonValue(), (results) => void readResults(JSON.stringify({ results }))));
  });

  it.each([
    [200, 'delivered'],
    [204, 'delivered'],
    [207, 'delivered'],
    [301, 'permanent'],
    [400, 'permanent'],
    [410, 'permanent'],
    [408, 'transient'],
    [425, 'transient'],
    [429, 'transient'],
    [500, 'transient'],
    [503, 'transient'],
    [undefined, 'transient'],
  ] as const)('makes of %s that the event is %s', (status, outcome) => {
    expect(outcomeOf(status)).toBe(outcome);
  });
});
