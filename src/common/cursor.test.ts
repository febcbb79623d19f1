import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decodeCursor, encodeCursor, toPage } from './cursor.js';
import { Problem } from './problems.js';

const codeOf = (read: () => unknown): string => {
  try {
    read();
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
  return 'read';
};

describe('a cursor', () => {
  it('leads back to the row it was made of', () => {
    fc.assert(
      fc.property(fc.uuid(), (uuid) => {
        expect(decodeCursor('events', encodeCursor('events', uuid))).toBe(uuid);
      }),
    );
  });

  it('of another list is refused', () => {
    const cursor = encodeCursor('events', '01890a5d-ac96-774b-bcce-b302099a8057');
    expect(codeOf(() => decodeCursor('keys', cursor))).toBe('invalid_cursor');
  });

  it('that was never given out is refused, whatever it holds', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(codeOf(() => decodeCursor('events', text))).toBe('invalid_cursor');
        const forged = Buffer.from(`events:${text}`).toString('base64url');
        expect(codeOf(() => decodeCursor('events', forged))).toBe('invalid_cursor');
      }),
    );
  });
});

describe('a page', () => {
  const rows = (count: number) => Array.from({ length: count }, (_, index) => ({ id: `row-${index}` }));

  it('leads on when there is one row more than it shows', () => {
    expect(toPage('events', rows(3), 2, ({ id }) => id)).toEqual({
      data: ['row-0', 'row-1'],
      nextCursor: encodeCursor('events', 'row-1'),
    });
  });

  it.each([0, 1, 2])('of %i rows with a limit of 2 is the last', (count) => {
    const page = toPage('events', rows(count), 2, ({ id }) => id);
    expect([page.data.length, page.nextCursor]).toEqual([count, null]);
  });
});
