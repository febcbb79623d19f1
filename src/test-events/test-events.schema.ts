import { z } from 'zod';
import { publishedType } from '../events/events.schema.js';

export const testEventBody = z
  .strictObject({
    type: publishedType
      .optional()
      .describe('Absent: the first type that the endpoint names exactly, or `posthorn.test`.'),
    data: z
      .unknown()
      .optional()
      .describe('Any JSON value; delivered byte for byte as sent. Absent: an example of the type.'),
  })
  .meta({ id: 'TestEvent' });
export type TestEventBody = z.output<typeof testEventBody>;
