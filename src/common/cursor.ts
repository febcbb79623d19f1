import { Problem } from './problems.js';

/**
 * Where a list goes on: the key of the last row shown. Lists are ordered by UUIDv7 keys, or by names, so the position
 * is stable under inserts. The list's name is inside, so that a cursor of another list is refused instead of misread.
 */
export function encodeCursor(list: string, key: string): string {
  return Buffer.from(`${list}:${key}`).toString('base64url');
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** @throws Problem `invalid_cursor` */
export function decodeCursor(list: string, cursor: string, form: RegExp = UUID): string {
  const text = Buffer.from(cursor, 'base64url').toString('utf8');
  const key = text.startsWith(`${list}:`) ? text.slice(list.length + 1) : '';
  if (!form.test(key)) {
    throw new Problem('invalid_cursor', 'The cursor is not one that this list gave out.');
  }
  return key;
}

export interface Page<Row> {
  data: Row[];
  nextCursor: string | null;
}

/** Cuts `rows`, read with one more than `limit`, to a page. */
export function toPage<Row extends { id: string }, Shown>(
  list: string,
  rows: readonly Row[],
  limit: number,
  show: (row: Row) => Shown,
): Page<Shown> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    data: shown.map(show),
    nextCursor: rows.length > limit && last ? encodeCursor(list, last.id) : null,
  };
}
