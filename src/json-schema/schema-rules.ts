import { LinearPattern } from './linear-pattern.js';
import { pointerTo } from './pointer.js';

/** A schema is of no use here. */
export class SchemaRefusedError extends Error {
  /** @param pointer into the schema */
  constructor(
    readonly pointer: string,
    message: string,
  ) {
    super(message);
  }
}

export const MAX_SCHEMA_BYTES = 256 * 1024;
/** Levels of JSON in it. */
export const MAX_SCHEMA_DEPTH = 64;
/** JSON values in it: keywords, names of properties and members of an `enum` alike. */
export const MAX_SCHEMA_VALUES = 10_000;
/** Each needs an automaton of its own. */
const MAX_PATTERNS = 500;
const MAX_PATTERN_LENGTH = 1_000;

export const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

export interface JsonSize {
  values: number;
  depth: number;
}

/** Counts the values of a JSON tree and its levels without recursing. Counting stops once either is past its most. */
export function sizeOf(json: unknown, most: JsonSize): JsonSize {
  const size = { values: 0, depth: 0 };
  const open: [value: unknown, depth: number][] = [[json, 1]];
  for (let next = open.pop(); next; next = open.pop()) {
    const [value, depth] = next;
    size.values += 1;
    size.depth = Math.max(size.depth, depth);
    if (size.values + open.length > most.values || size.depth > most.depth)
      return { values: size.values + open.length, depth: size.depth };
    if (typeof value === 'object' && value !== null)
      for (const inner of Object.values(value)) open.push([inner, depth + 1]);
  }
  return size;
}

/** Keywords whose value is a schema, a list of schemas, or schemas by name (JSON Schema 2020-12 Core §10, §11, Validation §8). */
const SUBSCHEMA = new Set([
  'additionalProperties',
  'unevaluatedProperties',
  'items',
  'contains',
  'unevaluatedItems',
  'not',
  'if',
  'then',
  'else',
  'propertyNames',
  'contentSchema',
]);
const SUBSCHEMA_LIST = new Set(['allOf', 'anyOf', 'oneOf', 'prefixItems']);
const SUBSCHEMA_MAP = new Set([
  'properties',
  'patternProperties',
  'dependentSchemas',
  '$defs',
  'definitions',
]);

export type SchemaObject = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is SchemaObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The schemas right inside of one, with the way there. */
export function* subschemas(schema: SchemaObject): Generator<[pointer: string, schema: unknown]> {
  for (const [keyword, value] of Object.entries(schema)) {
    if (SUBSCHEMA.has(keyword)) yield [pointerTo(keyword), value];
    else if (SUBSCHEMA_LIST.has(keyword) && Array.isArray(value)) {
      for (const [index, inner] of value.entries()) yield [pointerTo(keyword) + pointerTo(index), inner];
    } else if (SUBSCHEMA_MAP.has(keyword) && isObject(value)) {
      for (const [name, inner] of Object.entries(value)) yield [pointerTo(keyword) + pointerTo(name), inner];
    }
  }
}

/** What else is known of a schema that keeps the rules. */
export interface SchemaFacts {
  values: number;
  /** Whether anything in it refers to something else in it, so that work may multiply with the depth of the data. */
  hasReferences: boolean;
}

/**
 * Whether a schema keeps within bounds and to itself: of bounded size and depth, in JSON Schema 2020-12, with references
 * inside of it alone, and with patterns that take time in proportion to the text.
 *
 * @throws SchemaRefusedError
 */
export function checkSchema(schema: unknown): SchemaFacts {
  const { values, depth } = sizeOf(schema, { values: MAX_SCHEMA_VALUES, depth: MAX_SCHEMA_DEPTH });
  if (depth > MAX_SCHEMA_DEPTH)
    throw new SchemaRefusedError('', `must not have more than ${MAX_SCHEMA_DEPTH} levels`);
  if (values > MAX_SCHEMA_VALUES)
    throw new SchemaRefusedError('', `must not have more than ${MAX_SCHEMA_VALUES} keywords and values`);
  if (Buffer.byteLength(JSON.stringify(schema)) > MAX_SCHEMA_BYTES)
    throw new SchemaRefusedError('', `must not have more than ${MAX_SCHEMA_BYTES} bytes`);
  const facts = { values, hasReferences: false };
  let patterns = 0;
  const open: [pointer: string, schema: unknown][] = [['', schema]];
  for (let next = open.pop(); next; next = open.pop()) {
    const [pointer, inner] = next;
    if (typeof inner === 'boolean') continue;
    if (!isObject(inner)) throw new SchemaRefusedError(pointer, 'must be an object or a boolean');
    if (checkReferences(pointer, inner)) facts.hasReferences = true;
    for (const [where, pattern] of patternsOf(inner)) {
      patterns += 1;
      if (patterns > MAX_PATTERNS)
        throw new SchemaRefusedError(
          pointer + where,
          `must not be one of more than ${MAX_PATTERNS} patterns`,
        );
      checkPattern(pointer + where, pattern);
    }
    for (const [where, subschema] of subschemas(inner)) open.push([pointer + where, subschema]);
  }
  return facts;
}

/** @returns whether there are any */
function checkReferences(pointer: string, schema: SchemaObject): boolean {
  const { $schema } = schema;
  if ($schema !== undefined && (typeof $schema !== 'string' || $schema.replace(/#$/, '') !== DIALECT))
    throw new SchemaRefusedError(`${pointer}/$schema`, `must be \`${DIALECT}\`, or absent`);
  if (Object.hasOwn(schema, '$async'))
    throw new SchemaRefusedError(`${pointer}/$async`, 'is no keyword here');
  let found = false;
  for (const keyword of ['$ref', '$dynamicRef'] as const) {
    const reference = schema[keyword];
    if (reference === undefined) continue;
    if (typeof reference !== 'string' || !reference.startsWith('#'))
      throw new SchemaRefusedError(
        `${pointer}/${keyword}`,
        'must refer to a part of this schema, as `#/$defs/…`',
      );
    found = true;
  }
  return found;
}

function* patternsOf(schema: SchemaObject): Generator<[pointer: string, pattern: unknown]> {
  if (Object.hasOwn(schema, 'pattern')) yield ['/pattern', schema.pattern];
  if (isObject(schema.patternProperties))
    for (const name of Object.keys(schema.patternProperties))
      yield [`/patternProperties${pointerTo(name)}`, name];
}

function checkPattern(pointer: string, pattern: unknown): void {
  if (typeof pattern !== 'string' || pattern.length > MAX_PATTERN_LENGTH)
    throw new SchemaRefusedError(pointer, `must be a text of ${MAX_PATTERN_LENGTH} characters at most`);
  try {
    new LinearPattern(pattern);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new SchemaRefusedError(pointer, `must be a regular expression without backtracking: ${why}`);
  }
}
