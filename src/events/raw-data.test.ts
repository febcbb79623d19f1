import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { rawBatchData, rawData, rawEventData } from './raw-data.js';

const space = fc.array(fc.constantFrom(' ', '\n', '\r', '\t'), { maxLength: 3 }).map((all) => all.join(''));
const within = (text: fc.Arbitrary<string>) =>
  fc.tuple(space, text, space).map(([before, value, after]) => ({ before, value, after }));

const escape = (letter: string) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`;
/** A string's text in many spellings: escapes where none are needed, and what looks like structure. */
const stringText = fc
  .array(
    fc.constantFrom(
      'a',
      '"',
      '\\',
      '{',
      '}',
      '[',
      ']',
      ':',
      ',',
      'é',
      '😀',
      '\ud800',
      '\n',
      '\u0000',
      'data',
    ),
    {
      maxLength: 6,
    },
  )
  .chain((parts) =>
    fc.boolean().map((escaped) => {
      const text = parts.join('');
      return escaped ? `"${text.split('').map(escape).join('')}"` : JSON.stringify(text);
    }),
  );
const numberText = fc.constantFrom('0', '-0', '1e400', '12345678901234567890.10', '-1.5E-7', '1');

/** JSON text with any white space, spelling, duplicate keys and nesting. */
const { value: jsonText, object: objectText } = fc.letrec<{ value: string; object: string; array: string }>(
  (tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      stringText,
      numberText,
      fc.constantFrom('null', 'true', 'false'),
      tie('object'),
      tie('array'),
    ),
    object: fc
      .tuple(space, fc.array(fc.tuple(within(stringText), within(tie('value'))), { maxLength: 4 }))
      .map(([empty, all]) =>
        braces(
          '{',
          all.map(([key, value]) => `${spaced(key)}:${spaced(value)}`),
          '}',
          empty,
        ),
      ),
    array: fc
      .tuple(space, fc.array(within(tie('value')), { maxLength: 4 }))
      .map(([empty, all]) => braces('[', all.map(spaced), ']', empty)),
  }),
);

const spaced = ({ before, value, after }: { before: string; value: string; after: string }) =>
  before + value + after;
const braces = (open: string, parts: string[], close: string, empty: string) =>
  `${open}${parts.length > 0 ? parts.join(',') : empty}${close}`;

/** Members around and between `data` members, of which JSON.parse keeps the last. */
const member = (key: fc.Arbitrary<string>) => fc.tuple(within(key), within(jsonText));
const dataKey = fc.constantFrom('"data"', '"d\\u0061ta"', '"\\u0064ata"');
const otherKey = stringText.filter((text) => !['data', 'events'].includes(JSON.parse(text) as string));

const eventText = fc
  .tuple(space, fc.array(fc.oneof(member(dataKey), member(otherKey)), { maxLength: 6 }), space)
  .map(([before, members, after]) => {
    const text = members.map(([key, value]) => `${spaced(key)}:${spaced(value)}`).join(',');
    const last = members.filter(([key]) => JSON.parse(key.value) === 'data').at(-1);
    return { text: `${before}{${text}}${after}`, data: last?.[1].value };
  });

describe('the data of a publish', () => {
  it('is the text of the member that JSON.parse keeps, byte for byte', () => {
    fc.assert(
      fc.property(eventText, ({ text, data }) => {
        const parsed = JSON.parse(text) as { data?: unknown };
        expect(rawData(text)).toBe(data);
        expect(data === undefined ? undefined : (JSON.parse(data) as unknown)).toEqual(parsed.data);
      }),
      { numRuns: 1000 },
    );
  });

  it('is nothing when the body is no object', () => {
    fc.assert(
      fc.property(
        jsonText.filter((text) => !text.startsWith('{')),
        (text) => {
          expect(rawData(text)).toBeUndefined();
        },
      ),
    );
  });

  it('is not taken from a deeper object', () => {
    fc.assert(
      fc.property(objectText, (inner) => {
        expect(rawData(`{"type":"a","other":${inner},"list":[{"data":1}]}`)).toBeUndefined();
      }),
    );
  });

  it('is found below a hundred thousand levels, and within them', () => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"data":', '}'],
    ] as const) {
      const deep = `${open.repeat(100_000)}1${close.repeat(100_000)}`;
      expect(rawData(`{"deep":${deep},"data":${deep},"last":1}`) === deep).toBe(true);
    }
  });

  it('is found in millions of characters', () => {
    const body = `{"data":"${'\\"'.repeat(4_000_000)}","x":${'['.repeat(500_000)}${']'.repeat(500_000)}}`;
    expect(rawData(body)?.length).toBe(8_000_002);
  });
});

describe('the data of a batch', () => {
  it('is the data of each event in order', () => {
    fc.assert(
      fc.property(fc.array(eventText, { maxLength: 5 }), space, (events, around) => {
        const text = `{"events":${around}[${events.map((event) => event.text).join(',')}]${around}}`;
        expect(() => JSON.parse(text) as unknown).not.toThrow();
        expect(rawBatchData(text)).toEqual(events.map(({ data }) => data));
      }),
    );
  });

  it('is of the last `events` where there are several, like what JSON.parse keeps', () => {
    expect(rawBatchData('{"events":[{"data":1},{"data":2}],"\\u0065vents":[{"data":3}]}')).toEqual(['3']);
  });

  it.each(['{}', '{"events":{"data":1}}', '{"events":1}', '[]', '{"events":[]}'])(
    'is nothing in %s',
    (text) => {
      expect(rawBatchData(text)).toEqual([]);
    },
  );
});

describe('the data of an event within a body', () => {
  it('is the text of it, byte for byte', () => {
    const body = '{"event":{"data":1},"eventId":"x", "event" : {"type":"a","data": {"n":1e400,"n":0} } }';
    expect(rawEventData(body)).toBe('{"n":1e400,"n":0}');
    expect(rawEventData('{"event":{"type":"a"}}')).toBeUndefined();
    expect(rawEventData('{"eventId":"x"}')).toBeUndefined();
  });
});
