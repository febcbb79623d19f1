import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import { canonicalJson } from '../audit/canonical-json.js';
import { LinearPattern } from './linear-pattern.js';
import { pointerTo } from './pointer.js';
import { checkSchema, SchemaRefusedError } from './schema-rules.js';
import { TimeLimitError, withinTime } from './time-limit.js';

/** Something in a value is not as its schema says. */
export interface Mismatch {
  /** Into the value. */
  pointer: string;
  detail: string;
}

const COMPILE_WITHIN_MS = 1_000;
const MAX_MISMATCHES = 20;
/** Schema values times bytes of data up to which a check without references is over in no time. */
const LITTLE = 2_000_000;

/** A JSON Schema 2020-12 as code. Formats are annotations (Validation §7.2.1): they are not checked. */
export class CompiledSchema {
  private constructor(
    private readonly validate: ValidateFunction,
    private readonly values: number,
    private readonly hasReferences: boolean,
  ) {}

  /** @throws SchemaRefusedError for a schema that breaks the rules of {@link checkSchema}, is none, or takes too long */
  static compile(schema: unknown): CompiledSchema {
    try {
      const { validate, facts } = withinTime(COMPILE_WITHIN_MS, () => {
        const known = checkSchema(schema);
        return { validate: ajv().compile(schema as object | boolean), facts: known };
      });
      return new CompiledSchema(validate, facts.values, facts.hasReferences);
    } catch (error) {
      if (error instanceof SchemaRefusedError) throw error;
      if (error instanceof TimeLimitError)
        throw new SchemaRefusedError('', `must not take more than ${COMPILE_WITHIN_MS} ms to compile`);
      throw new SchemaRefusedError('', error instanceof Error ? error.message.slice(0, 500) : 'is no schema');
    }
  }

  /** Whether a check of this much data needs no watch. */
  isQuick(bytes: number): boolean {
    return !this.hasReferences && this.values * bytes <= LITTLE;
  }

  /** What is wrong with a value, as far as it is told; nothing where it matches. Takes as long as it takes. */
  mismatches(value: unknown): Mismatch[] {
    try {
      if (this.validate(value)) return [];
    } catch (error) {
      if (error instanceof RangeError) return [{ pointer: '', detail: 'is too deep to be checked' }];
      throw error;
    }
    return (this.validate.errors ?? []).slice(0, MAX_MISMATCHES).map(describe);
  }
}

/** One for each schema, so that what one brings along is not known to the next. */
function ajv(): Ajv2020 {
  const instance = new Ajv2020({
    strict: false,
    allErrors: true,
    logger: false,
    validateFormats: false,
    // What is merely inherited, such as `toString`, is no member of an object.
    ownProperties: true,
    // A schema that is referred to often is compiled once, not copied to where it is wanted.
    inlineRefs: false,
    code: { regExp: linearPatterns, optimize: false },
  });
  // Ajv asks what it compares for its `valueOf` and `toString`, which may be members of the data.
  instance.removeKeyword('enum');
  instance.addKeyword({
    keyword: 'enum',
    schemaType: 'array',
    error: { message: 'must be equal to one of the allowed values' },
    compile: (allowed: unknown[]) => isOneOf(allowed),
  });
  instance.removeKeyword('const');
  instance.addKeyword({
    keyword: 'const',
    error: { message: 'must be equal to constant' },
    compile: (wanted: unknown) => isOneOf([wanted]),
  });
  instance.removeKeyword('uniqueItems');
  instance.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    error: { message: 'must NOT have duplicate items' },
    // Ajv compares each with each.
    validate: (wanted: boolean, items: unknown[]) =>
      !wanted || new Set(items.map(canonicalJson)).size === items.length,
  });
  return instance;
}

function isOneOf(values: unknown[]): (value: unknown) => boolean {
  const allowed = new Set(values.map(canonicalJson));
  return (value) => allowed.has(canonicalJson(value));
}

const linearPatterns = Object.assign((pattern: string) => new LinearPattern(pattern), {
  code: 'linearPatterns',
});

function describe({ instancePath, keyword, params, message }: ErrorObject): Mismatch {
  const detail = message ?? 'does not match its schema';
  const named: unknown =
    keyword === 'additionalProperties'
      ? params.additionalProperty
      : keyword === 'unevaluatedProperties'
        ? params.unevaluatedProperty
        : undefined;
  if (typeof named === 'string')
    return { pointer: instancePath + pointerTo(named), detail: 'must not be there' };
  return { pointer: instancePath, detail };
}
