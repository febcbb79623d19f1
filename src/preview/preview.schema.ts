import { z } from 'zod';
import { publishBody } from '../events/events.schema.js';

export const previewBody = z
  .strictObject({
    eventId: z.string().max(40).optional().describe('An event of the account.'),
    event: publishBody.optional().describe('One that is not published, as it would be.'),
  })
  .refine(({ eventId, event }) => (eventId === undefined) !== (event === undefined), {
    message: 'give either `eventId` or `event`',
  })
  .meta({ id: 'PreviewRequest' });
export type PreviewBody = z.output<typeof previewBody>;

const mismatch = z.strictObject({
  code: z
    .enum([
      'event_type',
      'filter',
      'filter_error',
      'transform_dropped',
      'transform_error',
      'conversion_error',
      'lookup_failed',
    ])
    .describe(
      '`event_type`: not one of its types. `filter`: its filter leaves it out. `filter_error`: its filter failed, and the ' +
        'delivery would be made as `failed`. `transform_dropped`: its transformation drops it. `transform_error`: its ' +
        'transformation failed, which would be tried again. `conversion_error`: so did the conversion to the version that ' +
        'it pins, and `lookup_failed`: a lookup.',
    ),
  pointer: z.string().describe('What in the endpoint decided (RFC 6901).'),
  detail: z.string(),
});

const request = z.strictObject({
  method: z.string(),
  url: z.string(),
  headers: z.record(z.string(), z.string()).describe('Credentials and the signature are masked.'),
  body: z.string(),
});

export const previewShown = z
  .strictObject({
    matched: z
      .boolean()
      .describe(
        'Whether a publish would make a delivery to the endpoint: its types and its filter take the event.',
      ),
    reason: mismatch
      .nullable()
      .describe('The first thing that keeps it from being sent; null when it matches.'),
    request: request
      .nullable()
      .describe(
        'What would be sent now; null where nothing would. Ids are made up where the event is a sample.',
      ),
  })
  .meta({ id: 'Preview' });
export type PreviewShown = z.output<typeof previewShown>;
export type MismatchShown = z.output<typeof mismatch>;
