import { Injectable } from '@nestjs/common';
import { canonicalJson } from '../audit/canonical-json.js';
import { uuidV7 } from '../common/ids.js';
import { type FieldError, Problem } from '../common/problems.js';
import { refuseFields } from '../http/schema.pipe.js';
import { CompiledSchema } from '../json-schema/compiled-schema.js';
import { pointerTo } from '../json-schema/pointer.js';
import { SchemaRefusedError } from '../json-schema/schema-rules.js';
import { TimeLimitError, withinTime } from '../json-schema/time-limit.js';
import { forPeople, ProgramRuns } from '../transformations/program-runs.js';
import type { Program } from '../transformations/transformation.js';
import type { ConversionTest } from './conversions.schema.js';

/** All that are tried out take turns with each other, as if they were of one account. */
const OWNER = { accountId: 'conversions', endpointId: 'trials' };
const CHECK_WITHIN_MS = 1_000;
const MAX_SHOWN = 300;

/** Runs the tests of a conversion. */
@Injectable()
export class ConversionTrials {
  constructor(private readonly runs: ProgramRuns) {}

  /**
   * @param schema JSON text of the schema of what comes out; null where there is none
   * @throws Problem `validation_failed` with what came out, where it is not what was expected; `unavailable`
   */
  async run(program: Program, tests: readonly ConversionTest[], schema: string | null): Promise<void> {
    const errors: FieldError[] = [];
    const programId = uuidV7(Date.now());
    for (const [index, { data, expected }] of tests.entries()) {
      const event = { id: '', occurredAt: new Date(0), text: JSON.stringify(data) };
      const result = await forPeople(this.runs.convert(program, { ...OWNER, programId }, event));
      const pointer = `/tests${pointerTo(index)}`;
      if (!result.ok) errors.push({ pointer, detail: `failed: ${result.detail}` });
      else {
        const text = result.transformed?.body ?? event.text;
        if (canonicalJson(JSON.parse(text)) !== canonicalJson(expected))
          errors.push({ pointer: `${pointer}/expected`, detail: `came out as ${shortened(text)}` });
      }
    }
    if (errors.length > 0) refuseFields(errors);
    if (schema !== null) checkResults(schema, tests);
  }
}

/** What comes out is what was expected by now. */
function checkResults(schema: string, tests: readonly ConversionTest[]): void {
  let errors: FieldError[];
  try {
    const compiled = CompiledSchema.compile(JSON.parse(schema));
    errors = withinTime(CHECK_WITHIN_MS, () =>
      tests.flatMap(({ expected }, index) =>
        compiled.mismatches(expected).map(({ pointer, detail }) => ({
          pointer: `/tests${pointerTo(index)}/expected${pointer}`,
          detail: `${detail}, says the schema of the version`,
        })),
      ),
    );
  } catch (error) {
    if (!(error instanceof TimeLimitError || error instanceof SchemaRefusedError)) throw error;
    throw new Problem('unavailable', 'The schema of the version could not be compared with in time.', {
      retryAfterSeconds: 1,
    });
  }
  if (errors.length > 0) refuseFields(errors);
}

const shortened = (text: string): string =>
  (text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text).toWellFormed();
