import { describe, expect, it } from '@jest/globals';
import { Problem } from '../common/problems.js';
import { choosePins } from './endpoint-pins.js';
import type { VersionLife } from './version-life.js';

const life = (version: string, sunsetAtMs: number | null = null): VersionLife => ({
  version,
  deprecatedAtMs: null,
  sunsetAtMs,
  afterSunset: 'stop',
});
const types = new Map([
  ['a.x', [life('1'), life('2')]],
  ['a.y', [life('1'), life('2', 5)]],
  ['b', [life('7')]],
  ['__proto__', [life('9')]],
  ['none', []],
]);
const choose = (asked: Partial<Parameters<typeof choosePins>[1]>) =>
  choosePins(types, { eventTypes: null, wished: undefined, before: null, ...asked }, 10);

describe('the versions that an endpoint gets', () => {
  it('are the newest of the types that it takes', () => {
    expect(Object.entries(choose({}) ?? {})).toEqual([
      ['a.x', '2'],
      ['a.y', '1'],
      ['b', '7'],
      ['__proto__', '9'],
    ]);
    expect(choose({ eventTypes: ['a.*'] })).toEqual({ 'a.x': '2', 'a.y': '1' });
    expect(choose({ eventTypes: ['c'] })).toBeNull();
  });

  it('are those that it names, and otherwise those that it had', () => {
    expect(choose({ eventTypes: ['a.*'], wished: { 'a.x': '1', b: '7' } })).toEqual({
      'a.x': '1',
      'a.y': '1',
      b: '7',
    });
    expect(choose({ eventTypes: ['a.x'], before: { 'a.x': '1', old: '3' } })).toEqual({
      'a.x': '1',
      old: '3',
    });
    expect(choose({ eventTypes: ['a.x'], before: { 'a.x': '1' }, wished: { 'a.x': null } })).toEqual({
      'a.x': '2',
    });
  });

  it('are refused where they are none, or over', () => {
    for (const wished of [{ 'a.x': '3' }, { c: '1' }, { none: null }, { toString: '1' }, { 'a.y': '2' }]) {
      const [type] = Object.keys(wished);
      expect(() => choose({ wished })).toThrow(Problem);
      expect(() => choose({ wished })).toThrow(`/eventVersions/${String(type)}: must`);
    }
  });
});
