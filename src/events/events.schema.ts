import { z } from 'zod';
import { PRIORITIES } from '../common/priority.js';
import {
  eventType,
  moment,
  OPERATIONAL_PREFIX,
  pageOf,
  pageQuery,
  printable,
  time,
} from '../common/schemas.js';

export const MAX_BATCH = 1000;

export const publishedType = eventType.refine(
  (type) => !type.startsWith(OPERATIONAL_PREFIX),
  `must not begin with \`${OPERATIONAL_PREFIX}\`, which is kept for events about your endpoints`,
);

export const publishBody = z
  .strictObject({
    type: publishedType,
    data: z
      .unknown()
      .refine((value) => value !== undefined, 'is required')
      .describe('Any JSON value; delivered byte for byte as sent.'),
    externalId: printable(256)
      .min(1)
      .optional()
      .describe("The publisher's own id, unique within the account: the same again delivers nothing twice."),
    timestamp: moment.optional().describe('When it happened. Absent: now.'),
    version: printable(32).min(1).optional().describe('Version of the data. Absent: `1`.'),
    tags: z.array(printable(64).min(1)).max(20).optional(),
    priority: z.enum(PRIORITIES).optional(),
  })
  .meta({ id: 'PublishEvent' });
export type PublishBody = z.output<typeof publishBody>;

export const publishBatchBody = z
  .strictObject({ events: z.array(publishBody).min(1).max(MAX_BATCH) })
  .meta({ id: 'PublishEvents' });
export type PublishBatchBody = z.output<typeof publishBatchBody>;

export const published = z
  .strictObject({
    id: z.string().describe("Posthorn's id, and the `webhook-id` of every delivery."),
    externalId: z.string().nullable(),
    type: z.string(),
    timestamp: time,
    duplicate: z
      .boolean()
      .describe('True when the external id was published before; nothing is delivered again.'),
    matched: z.int().describe('Endpoints that it is delivered to.'),
    warnings: z
      .array(z.strictObject({ pointer: z.string().describe('Into the body.'), detail: z.string() }))
      .optional()
      .describe('What is not as the catalogue says (`POSTHORN_EVENT_VALIDATION=warn`).'),
  })
  .meta({ id: 'Published' });
export type Published = z.output<typeof published>;

export const publishedBatch = z
  .strictObject({ data: z.array(published).describe('One for each event, in order.') })
  .meta({ id: 'PublishedBatch' });

/** A batch of CloudEvents gets a list, everything else one. */
export const publishAnswer = z.union([published, publishedBatch]).meta({ id: 'PublishAnswer' });

const summary = {
  id: z.string(),
  externalId: z.string().nullable(),
  type: z.string(),
  timestamp: time,
  version: z.string(),
  tags: z.array(z.string()),
  priority: z.enum(PRIORITIES).nullable(),
  test: z.boolean(),
  matched: z.int(),
  createdAt: time,
};
export const eventSummary = z.strictObject(summary).meta({ id: 'EventSummary' });
export type EventSummary = z.output<typeof eventSummary>;
export const eventPage = pageOf(eventSummary).meta({ id: 'EventPage' });

export const eventShown = z.strictObject({ ...summary, data: z.unknown() }).meta({ id: 'Event' });

export const eventQuery = z.strictObject({
  version: printable(32)
    .min(1)
    .optional()
    .describe(
      'Converted to this version of its type, where conversions lead there; absent: as it was published.',
    ),
});
export type EventQuery = z.output<typeof eventQuery>;

export const eventsQuery = z.strictObject({
  ...pageQuery,
  type: eventType.optional(),
  externalId: printable(256).min(1).optional(),
});
export type EventsQuery = z.output<typeof eventsQuery>;
