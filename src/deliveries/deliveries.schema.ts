import { z } from 'zod';
import { PRIORITIES } from '../common/priority.js';
import { eventType, pageOf, pageQuery, time } from '../common/schemas.js';

const STATUSES = ['pending', 'retrying', 'delivered', 'failed', 'cancelled', 'held', 'skipped'] as const;
const OUTCOMES = [
  'delivered',
  'transient',
  'throttled',
  'refused',
  'permanent',
  'gone',
  'aborted',
  'blocked',
  'transform',
] as const;

const moment = z.iso.datetime({ offset: true });

export const deliveriesQuery = z.strictObject({
  ...pageQuery,
  eventId: z.string().max(40).optional(),
  endpointId: z.string().max(40).optional(),
  batchId: z.string().max(40).optional().describe('Those that a batch carries, or has carried.'),
  eventType: eventType.optional(),
  status: z.enum(STATUSES).optional(),
  priority: z.enum(PRIORITIES).optional(),
  since: moment.optional().describe('Made at or after this time'),
  until: moment.optional().describe('Made before this time'),
});
export type DeliveriesQuery = z.output<typeof deliveriesQuery>;

const summary = {
  id: z.string(),
  accountId: z.string(),
  eventId: z.string().nullable().describe('Null for a batch.'),
  eventType: z.string().nullable().describe('Null for a batch.'),
  endpointId: z.string(),
  batchId: z
    .string()
    .nullable()
    .describe('The delivery that carries this one. Null while it is collected, and where it goes alone.'),
  batch: z
    .strictObject({
      events: z.int().describe('How many it was made of.'),
      webhookId: z.string().describe('`webhook-id` of its next request, or of its last.'),
    })
    .nullable()
    .describe('Null but for a batch.'),
  priority: z
    .enum(PRIORITIES)
    .describe("The event's own, else the endpoint's, else the event type's, else `normal`."),
  status: z.enum(STATUSES),
  statusReason: z
    .string()
    .nullable()
    .describe('A stable code: why it was given up, held, skipped, cancelled, or is retrying.'),
  attemptCount: z.int(),
  nextAttemptAt: time.nullable(),
  test: z.boolean().describe('True for what nobody is to act on; it carries `webhook-test: true`.'),
  createdAt: time,
  completedAt: time.nullable(),
};
export const deliverySummary = z.strictObject(summary).meta({ id: 'DeliverySummary' });
export type DeliverySummary = z.output<typeof deliverySummary>;
export const deliveryPage = pageOf(deliverySummary).meta({ id: 'DeliveryPage' });

const headers = z.record(z.string(), z.string()).describe('Credentials are masked.');

export const attemptShown = z
  .strictObject({
    number: z.int(),
    trigger: z.enum(['schedule', 'manual', 'replay', 'test']),
    startedAt: time,
    durationMs: z.int(),
    outcome: z.enum(OUTCOMES),
    statusCode: z.int().optional(),
    errorCode: z.string().optional(),
    errorDetail: z.string().optional(),
    request: z.strictObject({ method: z.string(), url: z.string(), headers }).nullable(),
    response: z
      .strictObject({
        headers,
        body: z.string().describe('The first 16 KiB, as text, or base64 when it is none.'),
        bodyEncoding: z.enum(['utf8', 'base64']),
        truncated: z.boolean(),
      })
      .nullable(),
  })
  .meta({ id: 'Attempt' });
export type AttemptShown = z.output<typeof attemptShown>;

export const deliveryShown = z
  .strictObject({
    ...summary,
    version: z
      .string()
      .nullable()
      .describe(
        'Of the event type, that the event was published in. Null once the event is erased, and for a batch.',
      ),
    attempts: z.array(attemptShown),
    live: z
      .boolean()
      .describe('True when this is the state of the running workflow, false when it is the record.'),
    workflow: z.strictObject({
      workflowId: z.string(),
      runId: z.string().nullable(),
      webUrl: z.string().nullable().describe("The delivery in Temporal's Web UI."),
    }),
  })
  .meta({ id: 'Delivery' });
export type DeliveryShown = z.output<typeof deliveryShown>;
