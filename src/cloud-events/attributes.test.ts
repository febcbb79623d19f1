import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { toJsonAttribute } from './attributes.js';

describe('JSON as an attribute', () => {
  const json = fc.jsonValue({ stringUnit: 'binary' });

  it('means the same, whatever it holds and however it is spaced', () => {
    fc.assert(
      fc.property(json, fc.constantFrom('', '\t', '\r\n', '  '), (value, space) => {
        const text = JSON.stringify(value, null, space);
        expect(JSON.parse(toJsonAttribute(text))).toEqual(JSON.parse(text));
      }),
      { numRuns: 1_000 },
    );
  });

  it('is of the type String: no control characters, and none that are no characters', () => {
    const odd = fc.string({
      unit: fc.constantFrom('\u007f', '\u0085', '\ufdd0', '\u{1fffe}', 'é', '\u{1f600}', '"'),
    });
    fc.assert(
      fc.property(fc.oneof(json, odd), (value) => {
        expect(toJsonAttribute(JSON.stringify(value, null, '\t'))).not.toMatch(
          /[\p{Cc}\p{Noncharacter_Code_Point}]/u,
        );
      }),
    );
  });

  it('keeps numbers as they are spelt', () => {
    expect(toJsonAttribute('{"n":12345678901234567890,\n"m":1.0}')).toBe(
      '{"n":12345678901234567890,"m":1.0}',
    );
  });
});
