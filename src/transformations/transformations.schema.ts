import { z } from 'zod';
import { headerName } from '../endpoints/custom-headers.js';
import { eventType, moment, pageOf, printable, time } from '../common/schemas.js';
import { EVERY, parsePath } from './json-path.js';
import { MAX_TEMPLATE } from './templates.js';
import { TRANSFORMATION_KINDS, type TransformationKind } from './transformation.js';

const MAX_CODE_BYTES = 64 * 1024;
const MAX_STEPS = 200;
const MAX_HEADERS = 20;
export const MAX_VERSIONS = 50;

/** Infinite for what is nested too deeply to be printed. */
function bytesOf(value: unknown): number {
  try {
    return Buffer.byteLength(JSON.stringify(value));
  } catch {
    return Infinity;
  }
}

const path = z
  .string()
  .max(500)
  .refine((text) => parsePath(text) !== null, 'must be a path such as `data.items[0]["odd name"]`');
const pathOfMany = path.describe('A path; `[*]` stands for every element of an array.');
/** @param examples of paths, in Markdown */
const pathOfOne = (examples: string) =>
  path
    .refine(
      (text) => parsePath(text)?.includes(EVERY) !== true,
      'must lead to one place: `[*]` is for `pick` and `omit`',
    )
    .describe(examples);
const template = z
  .string()
  .max(MAX_TEMPLATE)
  .refine((text) => text.isWellFormed(), 'must be well-formed Unicode')
  .describe('A Liquid template over `event` and `endpoint`.');

/** The steps that reshape. @param one a path that leads to one place */
const stepsBy = (one: z.ZodString) => ({
  pick: z.array(pathOfMany).max(MAX_STEPS).optional().describe('Keeps these alone.'),
  omit: z.array(pathOfMany).max(MAX_STEPS).optional().describe('Removes these.'),
  rename: z
    .array(z.strictObject({ from: one, to: one }))
    .max(MAX_STEPS)
    .optional()
    .describe('Moves what is there from one path to another, one after the other.'),
  set: z
    .array(
      z.strictObject({
        path: one,
        value: z.unknown().refine((value) => value !== undefined, 'is required'),
      }),
    )
    .max(MAX_STEPS)
    .optional()
    .describe('Puts a value at a path; objects on the way are made.'),
});

const isSmall = (given: unknown): boolean => bytesOf(given) <= MAX_CODE_BYTES;
const MUST_BE_SMALL = `must be ${MAX_CODE_BYTES} bytes at most`;

export const dataSpec = z
  .strictObject(stepsBy(pathOfOne('Begins at the data: `customer.name`, `items[0]`, `["odd name"]`.')))
  .refine(isSmall, MUST_BE_SMALL)
  .describe('Carried out over the data in this order: `pick`, `omit`, `rename`, `set`.')
  .meta({ id: 'ConversionSpec' });

export const spec = z
  .strictObject({
    ...stepsBy(pathOfOne('Begins at the event: `data.customer.name`, `data.items[0]`, `data["odd name"]`.')),
    headers: z
      .record(headerName, template)
      .refine((given) => Object.keys(given).length <= MAX_HEADERS, `must be at most ${MAX_HEADERS} headers`)
      .optional()
      .describe('Templates, by the name of the header.'),
    path: template.optional(),
  })
  .refine(isSmall, MUST_BE_SMALL)
  .describe(
    'Carried out in this order: `pick`, `omit`, `rename`, `set`. The templates see the event as it was.',
  )
  .meta({ id: 'TransformationSpec' });

export const code = z
  .string()
  .min(1)
  .refine((text) => Buffer.byteLength(text) <= MAX_CODE_BYTES, `must be ${MAX_CODE_BYTES} bytes at most`)
  .refine(
    (text) => text.isWellFormed() && !text.includes('\u0000'),
    'must be well-formed Unicode without NUL',
  )
  .describe('JavaScript with a function `transform(event, endpoint)`; 64 KiB at most.');

/** Whether what is given is of the kind that is told. */
export function hasOneProgram(
  { kind, code, spec }: { kind: TransformationKind; code?: unknown; spec?: unknown },
  context: z.RefinementCtx,
): void {
  const [wanted, other] = kind === 'javascript' ? (['code', 'spec'] as const) : (['spec', 'code'] as const);
  const given = { code, spec };
  if (given[wanted] === undefined)
    context.addIssue({ code: 'custom', path: [wanted], message: `is required for \`${kind}\`` });
  if (given[other] !== undefined)
    context.addIssue({ code: 'custom', path: [other], message: `is not for \`${kind}\`` });
}

const program = {
  code: code.optional(),
  spec: spec.optional(),
};

export const putTransformationBody = z
  .strictObject({
    kind: z.enum(TRANSFORMATION_KINDS),
    ...program,
    enabled: z.boolean().default(true).describe('Whether deliveries go through it.'),
  })
  .superRefine(hasOneProgram)
  .meta({ id: 'PutTransformation' });
export type PutTransformationBody = z.output<typeof putTransformationBody>;

export const rollbackBody = z
  .strictObject({ version: z.int().min(1).max(2_147_483_647).describe('One of those that are kept.') })
  .meta({ id: 'RollbackTransformation' });
export type RollbackBody = z.output<typeof rollbackBody>;

const sampleEvent = z.strictObject({
  type: eventType,
  data: z.unknown().refine((value) => value !== undefined, 'is required'),
  timestamp: moment.optional().describe('Absent: now.'),
  version: printable(32).min(1).optional().describe('Absent: `1`.'),
});

export const testTransformationBody = z
  .strictObject({
    ...program,
    event: sampleEvent.optional(),
    eventId: z.string().max(40).optional().describe('An event of the account; needs `events:read` beside.'),
  })
  .refine(({ code, spec }) => code === undefined || spec === undefined, {
    path: ['spec'],
    message: 'give either `code` or `spec`; neither tries what is stored',
  })
  .refine(({ event, eventId }) => (event === undefined) !== (eventId === undefined), {
    path: ['event'],
    message: 'give either `event` or `eventId`',
  })
  .meta({ id: 'TestTransformation' });
export type TestTransformationBody = z.output<typeof testTransformationBody>;

const versionFields = {
  version: z.int().describe('Counts from 1.'),
  kind: z.enum(TRANSFORMATION_KINDS),
  code: z.string().nullable(),
  spec: z.record(z.string(), z.unknown()).nullable(),
};

export const transformationShown = z
  .strictObject({ ...versionFields, enabled: z.boolean(), createdAt: time, updatedAt: time })
  .meta({ id: 'Transformation' });
export type TransformationShown = z.output<typeof transformationShown>;

export const versionShown = z
  .strictObject({ ...versionFields, current: z.boolean(), createdAt: time })
  .meta({ id: 'TransformationVersion' });
export type VersionShown = z.output<typeof versionShown>;
export const versionPage = pageOf(versionShown).meta({ id: 'TransformationVersionPage' });

export const DURATIONS = ['under_1_ms', 'under_10_ms', 'under_100_ms', 'ended'] as const;

export const transformationTested = z
  .strictObject({
    outcome: z.enum(['transformed', 'dropped', 'failed']),
    result: z
      .strictObject({
        url: z.string(),
        headers: z
          .record(z.string(), z.string())
          .describe('Those that the transformation adds. Credentials are masked.'),
        body: z.string().describe('What would be signed and sent, byte for byte.'),
      })
      .nullable(),
    error: z.string().nullable(),
    console: z.array(z.string()).describe('At most 100 lines of 1,000 characters.'),
    duration: z.enum(DURATIONS).describe('`ended`: it was stopped when its time was over.'),
  })
  .meta({ id: 'TransformationTested' });
export type TransformationTested = z.output<typeof transformationTested>;
