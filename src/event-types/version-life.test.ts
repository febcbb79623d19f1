import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { AFTER_SUNSET, lifeHeaders, newestOf, pinAt, takes, type VersionLife } from './version-life.js';

const life = (version: string, more: Partial<VersionLife> = {}): VersionLife => ({
  version,
  deprecatedAtMs: null,
  sunsetAtMs: null,
  afterSunset: 'stop',
  ...more,
});

describe('the pin of an endpoint', () => {
  it('stays until the very moment of the sunset', () => {
    const versions = [life('1', { sunsetAtMs: 1_000, afterSunset: 'move' }), life('2')];
    expect(pinAt(versions, '1', 999)).toBe('1');
    expect(pinAt(versions, '1', 1_000)).toBe('2');
    expect(pinAt([life('1', { sunsetAtMs: 1_000 }), life('2')], '1', 1_000)).toBeNull();
  });

  it('moves to the newest that goes on, and stops where there is none', () => {
    const old = life('1', { sunsetAtMs: 1, afterSunset: 'move' });
    expect(pinAt([old, life('2'), life('3', { sunsetAtMs: 2 })], '1', 5)).toBe('2');
    expect(pinAt([old, life('2', { sunsetAtMs: 2 })], '1', 5)).toBeNull();
  });

  it('stays where nobody knows the version', () => {
    expect(pinAt([life('2')], '1', 5)).toBe('1');
    expect(pinAt([], '1', 5)).toBe('1');
  });

  it('never leads to a version whose sunset has come, and once there stays', () => {
    const version = fc.record({
      version: fc.constantFrom('1', '2', '3', '4'),
      deprecatedAtMs: fc.constant(null),
      sunsetAtMs: fc.option(fc.nat(20)),
      afterSunset: fc.constantFrom(...AFTER_SUNSET),
    });
    const versions = fc.uniqueArray(version, { selector: (each) => each.version, maxLength: 4 });
    fc.assert(
      fc.property(versions, fc.constantFrom('1', '2', '3', '4'), fc.nat(25), (all, pinned, now) => {
        const at = pinAt(all, pinned, now);
        if (at === null) return;
        expect(all.find((each) => each.version === at)?.sunsetAtMs ?? Infinity).toBeGreaterThan(now);
        expect(pinAt(all, at, now)).toBe(at);
        if (at !== pinned) expect(newestOf(all, now)?.version).toBe(at);
      }),
    );
  });
});

describe('headers of a version that ends', () => {
  it('are written as their RFCs have them', () => {
    expect(
      lifeHeaders(
        life('1', {
          deprecatedAtMs: Date.parse('2023-06-30T23:59:59.900Z'),
          sunsetAtMs: Date.parse('2018-12-31T23:59:59Z'),
        }),
      ),
    ).toEqual({ deprecation: '@1688169599', sunset: 'Mon, 31 Dec 2018 23:59:59 GMT' });
    expect(lifeHeaders(life('1', { sunsetAtMs: 0 }))).toEqual({ sunset: 'Thu, 01 Jan 1970 00:00:00 GMT' });
    expect(lifeHeaders(life('1'))).toBeUndefined();
  });
});

describe('the types that an endpoint takes', () => {
  it.each([
    [null, 'a.b', true],
    [['a.b'], 'a.b', true],
    [['a.*'], 'a.b', true],
    [['a.*'], 'a', false],
    [['a.*'], 'ab', false],
    [['b', 'a.*'], 'a.b.c', true],
    [['a'], 'a.b', false],
  ])('%j: %s is one: %s', (patterns, type, expected) => {
    expect(takes(patterns, type)).toBe(expected);
  });
});
