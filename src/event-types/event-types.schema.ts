import { z } from 'zod';
import { PRIORITIES } from '../common/priority.js';
import { eventType, moment, pageOf, printable, time } from '../common/schemas.js';
import { AFTER_SUNSET } from './version-life.js';

const priority = z.enum(PRIORITIES).nullable();
export const eventVersion = printable(32).min(1);
export const groupName = printable(100).min(1);

export const MAX_VERSIONS = 50;
export const MAX_EXAMPLES = 20;

const versionFields = {
  schema: z
    .unknown()
    .optional()
    .describe(
      'JSON Schema 2020-12 of `data`, with references inside of it alone. Null or absent: anything goes.',
    ),
  examples: z
    .array(z.unknown())
    .max(MAX_EXAMPLES)
    .optional()
    .describe('Values of `data`, which must match the schema.'),
  deprecatedAt: moment
    .nullable()
    .optional()
    .describe('Since when, or from when on, it should not be relied on: sent as `Deprecation`.'),
  sunsetAt: moment
    .nullable()
    .optional()
    .describe(
      'When it ends: sent as `Sunset`. Owners of endpoints that pin it are told 90, 30 and 7 days ahead.',
    ),
  afterSunset: z
    .enum(AFTER_SUNSET)
    .optional()
    .describe(
      '`stop`: deliveries to endpoints that pin it are skipped from then on. `move`: these endpoints get the newest. Default `stop`.',
    ),
};

export const addVersionBody = z
  .strictObject({ version: eventVersion, ...versionFields })
  .meta({ id: 'AddEventTypeVersion' });
export type AddVersionBody = z.output<typeof addVersionBody>;

export const changeVersionBody = z.strictObject(versionFields).meta({ id: 'ChangeEventTypeVersion' });
export type ChangeVersionBody = z.output<typeof changeVersionBody>;

export const registerEventTypeBody = z
  .strictObject({
    priority: priority
      .optional()
      .describe(
        'Of deliveries for which neither the event nor the endpoint has one. Null or absent: `normal`.',
      ),
    description: printable(2_000).nullable().optional(),
    group: groupName.nullable().optional().describe('What it is listed under.'),
    versions: z
      .array(addVersionBody)
      .max(MAX_VERSIONS)
      .refine(
        (versions) => new Set(versions.map(({ version }) => version)).size === versions.length,
        'must not name a version twice',
      )
      .optional()
      .describe('All there are, the oldest first. Absent: they stay as they are.'),
  })
  .meta({ id: 'RegisterEventType' });
export type RegisterEventTypeBody = z.output<typeof registerEventTypeBody>;

const life = {
  version: z.string(),
  deprecatedAt: time.nullable(),
  sunsetAt: time.nullable(),
  afterSunset: z.enum(AFTER_SUNSET),
  createdAt: time,
};

export const versionShown = z
  .strictObject({
    ...life,
    schema: z.unknown().describe('Null: anything goes.'),
    examples: z.array(z.unknown()),
  })
  .meta({ id: 'EventTypeVersion' });
export type VersionShown = z.output<typeof versionShown>;

const shown = {
  name: z.string(),
  description: z.string().nullable(),
  group: z.string().nullable(),
  priority,
  createdAt: time,
  updatedAt: time,
};

export const eventTypeShown = z
  .strictObject({
    ...shown,
    versions: z.array(versionShown).describe('The oldest first.'),
    conversions: z
      .array(z.strictObject({ from: z.string(), to: z.string() }))
      .describe('The pairs of versions that there are conversions between.'),
  })
  .meta({ id: 'EventType' });
export type EventTypeShown = z.output<typeof eventTypeShown>;

export const eventTypeSummary = z
  .strictObject({
    ...shown,
    versions: z.array(z.strictObject(life)).describe('The oldest first, without schemas and examples.'),
  })
  .meta({ id: 'EventTypeSummary' });
export type EventTypeSummary = z.output<typeof eventTypeSummary>;

export const eventTypePage = pageOf(eventTypeSummary).meta({ id: 'EventTypePage' });

const counts = z.strictObject({ last24Hours: z.int(), last7Days: z.int() });
export const eventTypeUsage = z
  .strictObject({
    type: z.string(),
    versions: z.array(
      z.strictObject({
        version: z.string(),
        events: counts.describe('Published in this version.'),
        deliveries: counts.describe('First attempts in this version.'),
        endpoints: z.int().describe('That pin it now.'),
      }),
    ),
    others: z
      .strictObject({ events: counts, deliveries: counts })
      .describe('Events and deliveries in versions that are not registered.'),
  })
  .meta({ id: 'EventTypeUsage' });
export type EventTypeUsageShown = z.output<typeof eventTypeUsage>;

export const importQuery = z.strictObject({
  dryRun: z
    .enum(['true', 'false'])
    .default('false')
    .describe('`true`: tells what would be done, and does nothing.'),
});
export type ImportQuery = z.output<typeof importQuery>;

/** An object of the document's own making, whose parts are looked at one by one. */
export const importBody = z
  .looseObject({})
  .describe('An OpenAPI 3.1 document with `webhooks`, or an AsyncAPI 2 or 3 document.')
  .meta({ id: 'ImportEventTypes' });

export const imported = z
  .strictObject({
    dryRun: z.boolean(),
    created: z.array(z.string()),
    updated: z.array(z.string()),
    unchanged: z.array(z.string()),
    refused: z.array(
      z.strictObject({
        pointer: z.string().describe('Into the document.'),
        detail: z.string(),
      }),
    ),
  })
  .meta({ id: 'ImportedEventTypes' });
export type Imported = z.output<typeof imported>;

export const EXPORT_FORMATS = ['openapi', 'asyncapi'] as const;
export const exportQuery = z.strictObject({
  format: z.enum(EXPORT_FORMATS).default('openapi').describe('OpenAPI 3.1 or AsyncAPI 3.0.'),
});
export type ExportQuery = z.output<typeof exportQuery>;

export const exported = z.looseObject({}).meta({ id: 'ExportedEventTypes' });

/** Pins by event type. */
export const wishedVersions = z
  .record(eventType, eventVersion.nullable())
  .refine((pins) => Object.keys(pins).length <= 200, 'must name 200 event types at most');
export type WishedVersions = z.output<typeof wishedVersions>;
