import { decodeCursor, type Page, toPage } from '../common/cursor.js';
import type { ListQuery } from '../common/schemas.js';
import type { Database } from './database.js';

interface NamedList<Row, Shown> {
  /** As cursors and the prepared statement call it. */
  list: string;
  /** Up to its `FROM`, whose rows have a `name`. */
  select: string;
  /** What a name is like. */
  form: RegExp;
  show: (row: Row) => Shown;
}

/** A page of what has names instead of ids, ordered by them. @throws Problem `invalid_cursor` */
export async function namedPage<Row extends { name: string }, Shown>(
  database: Database,
  { list, select, form, show }: NamedList<Row, Shown>,
  { cursor, limit }: ListQuery,
): Promise<Page<Shown>> {
  const after = cursor === undefined ? '' : decodeCursor(list, cursor, form);
  const rows = await database.prepared<Row>(
    `list_${list.replaceAll('-', '_')}`,
    // By bytes, so that the order is the same whatever the database's language is.
    `${select} WHERE name COLLATE "C" > $1 ORDER BY name COLLATE "C" LIMIT $2`,
    [after, limit + 1],
  );
  const keyed = rows.map((row) => ({ ...row, id: row.name }));
  return toPage(list, keyed, limit, show);
}
