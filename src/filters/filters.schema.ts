import { z } from 'zod';
import { readFilter } from './read-filter.js';

/** Checked as a whole: what is wrong is told with pointers into it. */
export const filter = z
  .unknown()
  .superRefine((json, context) => {
    if (json === null || json === undefined) return;
    const read = readFilter(json);
    if ('filter' in read) return;
    for (const { path, detail } of read.faults)
      context.addIssue({ code: 'custom', path: [...path], message: detail });
  })
  .describe(
    'Which events of its types the endpoint gets: conditions on `type`, `data`, `tags` and `priority` by `$eq`, `$neq`, `$gt`, ' +
      '`$gte`, `$lt`, `$lte`, `$in`, `$nin`, `$startsWith`, `$endsWith`, `$exist`, `$or`, `$and`, `$not`; a CEL expression as `cel`; ' +
      'or the filters of a CloudEvents subscription. Null: all of them.',
  );

export const filterShown = z.unknown().describe('As it was given. Null: it gets every event of its types.');
