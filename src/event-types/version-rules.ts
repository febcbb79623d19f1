import { setImmediate as othersFirst } from 'node:timers/promises';
import { type FieldError, Problem } from '../common/problems.js';
import { CompiledSchema } from '../json-schema/compiled-schema.js';
import { pointerTo } from '../json-schema/pointer.js';
import { checkSchema, SchemaRefusedError, sizeOf } from '../json-schema/schema-rules.js';
import { TimeLimitError, withinTime } from '../json-schema/time-limit.js';
import type { AddVersionBody, ChangeVersionBody } from './event-types.schema.js';
import type { VersionRecord } from './event-type-record.js';

const MAX_EXAMPLES_BYTES = 256 * 1024;
const MAX_EXAMPLE_DEPTH = 64;
const EXAMPLES_WITHIN_MS = 1_000;

/** A version of an event type is not as it may be. */
export class VersionRefusedError extends Error {
  /** @param errors with pointers into the version */
  constructor(readonly errors: FieldError[]) {
    super(errors[0]?.detail ?? 'is not valid');
  }

  /** @param pointer to the version in the body */
  toProblem(pointer: string): Problem {
    const errors = this.errors.map((error) => ({ ...error, pointer: pointer + error.pointer }));
    const [first] = errors;
    return new Problem('validation_failed', `${first?.pointer ?? ''}: ${first?.detail ?? ''}`, {
      errors: errors.slice(0, 50),
    });
  }
}

const refused = (pointer: string, detail: string) => new VersionRefusedError([{ pointer, detail }]);

/**
 * A version as it is to be stored.
 *
 * @param body fields that are absent are as they were
 * @throws VersionRefusedError for a schema that is refused, examples that do not match it, and dates in the wrong order
 */
export async function versionFrom(
  { version }: Pick<AddVersionBody, 'version'>,
  body: ChangeVersionBody,
  before?: VersionRecord,
): Promise<VersionRecord> {
  const after: VersionRecord = {
    version,
    schema: body.schema === undefined ? (before?.schema ?? null) : schemaText(body.schema),
    examples: body.examples === undefined ? (before?.examples ?? '[]') : examplesText(body.examples),
    deprecatedAt: dateFrom(body.deprecatedAt, before?.deprecatedAt),
    sunsetAt: dateFrom(body.sunsetAt, before?.sunsetAt),
    afterSunset: body.afterSunset ?? before?.afterSunset ?? 'stop',
  };
  // RFC 9745 §4: the sunset is not before the deprecation.
  if (after.deprecatedAt && after.sunsetAt && after.sunsetAt < after.deprecatedAt)
    throw refused('/sunsetAt', 'must not be before `deprecatedAt`');
  if (after.schema !== null && (after.schema !== before?.schema || after.examples !== before.examples)) {
    checkExamples(after.schema, after.examples);
    await othersFirst();
  }
  return after;
}

const dateFrom = (given: string | null | undefined, before: Date | null = null): Date | null =>
  given === undefined ? before : given === null ? null : new Date(given);

function schemaText(schema: unknown): string | null {
  if (schema === null) return null;
  try {
    checkSchema(schema);
  } catch (error) {
    throw asRefused(error);
  }
  return JSON.stringify(schema);
}

function asRefused(error: unknown): unknown {
  return error instanceof SchemaRefusedError ? refused(`/schema${error.pointer}`, error.message) : error;
}

function examplesText(examples: unknown[]): string {
  const { depth } = sizeOf(examples, { values: Infinity, depth: MAX_EXAMPLE_DEPTH });
  if (depth > MAX_EXAMPLE_DEPTH)
    throw refused('/examples', `must not have more than ${MAX_EXAMPLE_DEPTH} levels`);
  const text = JSON.stringify(examples);
  if (Buffer.byteLength(text) > MAX_EXAMPLES_BYTES)
    throw refused('/examples', `must not have more than ${MAX_EXAMPLES_BYTES} bytes`);
  return text;
}

function checkExamples(schema: string, examples: string): void {
  let compiled: CompiledSchema;
  try {
    compiled = CompiledSchema.compile(JSON.parse(schema));
  } catch (error) {
    throw asRefused(error);
  }
  try {
    const errors = withinTime(EXAMPLES_WITHIN_MS, () =>
      (JSON.parse(examples) as unknown[]).flatMap((example, index) =>
        compiled
          .mismatches(example)
          .map(({ pointer, detail }) => ({ pointer: `/examples${pointerTo(index)}${pointer}`, detail })),
      ),
    );
    if (errors.length > 0) throw new VersionRefusedError(errors);
  } catch (error) {
    if (error instanceof TimeLimitError)
      throw refused('/examples', 'must not take longer than a second to be checked');
    throw error;
  }
}
