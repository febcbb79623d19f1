import { z } from 'zod';
import { PRIORITIES } from '../common/priority.js';
import { MAX_BATCH } from '../events/events.schema.js';
import { EXTENSIONS } from './attributes.js';

const describedAs = (field: string) => z.string().optional().describe(`The event's \`${field}\`.`);

/** As the API's document shows it; `read-cloud-event.ts` is what holds. */
export const cloudEvent = z
  .looseObject({
    specversion: z.enum(['1.0']),
    id: z.string().min(1).max(1024),
    source: z.string().min(1).max(2048).describe('With `id` the `externalId` of the event.'),
    type: z.string().max(128),
    time: z.string().optional().describe('RFC 3339. Absent: now.'),
    datacontenttype: z.string().optional().describe('JSON, or absent.'),
    data: z.unknown().describe('Any JSON value; delivered byte for byte as sent. Absent: null.'),
    version: describedAs('version'),
    [EXTENSIONS.version]: describedAs('version'),
    tags: describedAs('tags'),
    [EXTENSIONS.tags]: z.string().optional().describe("The event's `tags`, with commas between them."),
    priority: z.enum(PRIORITIES).optional(),
    [EXTENSIONS.priority]: z.enum(PRIORITIES).optional(),
  })
  .meta({ id: 'CloudEvent' });

export const cloudEventBatch = z.array(cloudEvent).min(1).max(MAX_BATCH).meta({ id: 'CloudEventBatch' });
