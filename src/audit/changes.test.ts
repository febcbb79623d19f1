import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { changesBetween, changesOfEntries } from './changes.js';

const fields = fc.dictionary(fc.string(), fc.jsonValue());

describe('what changed', () => {
  it('is nothing between the same, whatever the order of their fields', () => {
    fc.assert(
      fc.property(fields, (each) => {
        expect(changesBetween(each, Object.fromEntries(Object.entries(each).reverse()))).toEqual({});
      }),
    );
  });

  it('leads from what was to what is', () => {
    fc.assert(
      fc.property(fields, fields, (before, after) => {
        const changes = changesBetween(before, after);
        const names = new Set([...Object.keys(before), ...Object.keys(after), ...Object.keys(changes)]);
        for (const name of names) {
          const value = (of: Record<string, unknown>) =>
            Object.hasOwn(of, name) ? (of[name] ?? null) : null;
          const change = Object.hasOwn(changes, name) ? changes[name] : undefined;
          expect(change?.from ?? value(before)).toEqual(value(before));
          expect(change ? change.to : value(before)).toEqual(value(after));
        }
      }),
    );
  });

  it('is every field that has a value, of what was made or removed', () => {
    expect(changesBetween(null, { a: 1, b: null })).toEqual({ a: { from: null, to: 1 } });
    expect(changesBetween({ a: [1], b: null }, null)).toEqual({ a: { from: [1], to: null } });
  });

  it('is seen although both sides are hidden', () => {
    const hide = { secret: () => '***' };
    expect(changesBetween({ secret: 'one' }, { secret: 'two' }, hide)).toEqual({
      secret: { from: '***', to: '***' },
    });
    expect(changesBetween({ secret: null }, { secret: 'two' }, hide)).toEqual({
      secret: { from: null, to: '***' },
    });
    expect(changesBetween({ secret: 'one' }, { secret: 'one' }, hide)).toEqual({});
  });

  it('names, of named texts, those that were added, removed or replaced', () => {
    const before = { kept: '1', replaced: '2', removed: '3' };
    const after = { kept: '1', replaced: '4', added: '5' };
    expect(changesOfEntries(before, after)).toEqual({
      from: { replaced: '2', removed: '3' },
      to: { replaced: '4', added: '5' },
    });
    expect(changesOfEntries(before, after, () => '***')).toEqual({
      from: { replaced: '***', removed: '***' },
      to: { replaced: '***', added: '***' },
    });
    expect(changesOfEntries(before, { ...before })).toBeNull();
  });
});
