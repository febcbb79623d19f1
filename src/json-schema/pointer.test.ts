import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { pointerParts, pointerTo, valueAt } from './pointer.js';

describe('a JSON pointer', () => {
  it.each([[''], ['/'], ['/a~1b'], ['/m~0n'], ['/c%25d']])('%j leads to what it names', (pointer) => {
    const document = { '': 'empty', 'a/b': 'slash', 'm~n': 'tilde', 'c%d': 'percent' };
    expect(valueAt(document, pointer)).toBe(
      { '': document, '/': 'empty', '/a~1b': 'slash', '/m~0n': 'tilde', '/c%25d': 'percent' }[pointer],
    );
  });

  it('leads nowhere by what an object inherits, and by what is no pointer', () => {
    for (const pointer of ['/toString', '/__proto__', '/constructor/name', 'a', '/%', '/a/b'])
      expect([pointer, valueAt({ a: 1 }, pointer)]).toEqual([pointer, undefined]);
  });

  it('comes apart as it was put together', () => {
    fc.assert(
      fc.property(fc.array(fc.string().filter((part) => !part.includes('%'))), (parts) => {
        expect(pointerParts(parts.map(pointerTo).join(''))).toEqual(parts);
      }),
    );
  });
});
