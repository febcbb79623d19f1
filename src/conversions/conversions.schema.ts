import { z } from 'zod';
import { time } from '../common/schemas.js';
import { code, dataSpec, hasOneProgram } from '../transformations/transformations.schema.js';
import { TRANSFORMATION_KINDS } from '../transformations/transformation.js';

/** Of an event type. */
export const MAX_CONVERSIONS = 200;
const MAX_TESTS = 20;

const given = z.unknown().refine((value) => value !== undefined, 'is required');

const program = z
  .strictObject({
    kind: z.enum(TRANSFORMATION_KINDS),
    code: code
      .describe('JavaScript with a function `convert(data)` that returns the new data; 64 KiB at most.')
      .optional(),
    spec: dataSpec.optional(),
  })
  .superRefine(hasOneProgram);
export type ConversionProgram = z.output<typeof program>;

const test = z.strictObject({
  data: given.describe('Data of the one version.'),
  expected: given.describe('What it becomes in the other.'),
});
export type ConversionTest = z.output<typeof test>;

export const putConversionBody = z
  .strictObject({
    transformation: program.describe('What becomes of the data.'),
    tests: z
      .array(test)
      .min(1)
      .max(MAX_TESTS)
      .describe(
        'Run before it is taken: each must come out as expected, and match the schema of the version.',
      ),
  })
  .meta({ id: 'PutConversion' });
export type PutConversionBody = z.output<typeof putConversionBody>;

export const conversionShown = z
  .strictObject({
    type: z.string(),
    from: z.string(),
    to: z.string(),
    transformation: z.strictObject({
      kind: z.enum(TRANSFORMATION_KINDS),
      code: z.string().nullable(),
      spec: z.record(z.string(), z.unknown()).nullable(),
    }),
    tests: z.array(z.strictObject({ data: z.unknown(), expected: z.unknown() })),
    createdAt: time,
    updatedAt: time,
  })
  .meta({ id: 'Conversion' });
export type ConversionShown = z.output<typeof conversionShown>;
