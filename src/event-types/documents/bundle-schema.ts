import { pointerParts, pointerTo, valueAt } from '../../json-schema/pointer.js';
import {
  isObject,
  MAX_SCHEMA_DEPTH,
  MAX_SCHEMA_VALUES,
  type SchemaObject,
  sizeOf,
} from '../../json-schema/schema-rules.js';
import { DocumentRefusedError, type Placed } from './documented.js';

/**
 * A schema of a document that stands for itself: what it refers to elsewhere in the document comes along under `$defs`.
 * One with an `$id` is a document of its own (JSON Schema 2020-12 Core §8.2.1), and stays as it is.
 *
 * @throws DocumentRefusedError for references that lead nowhere, and for what would become too large
 */
export function bundleSchema(document: unknown, { pointer, value }: Placed): unknown {
  if (!isObject(value)) return value;
  const bundle = new Bundle(document, pointer, isObject(value.$defs) ? Object.keys(value.$defs) : []);
  const root = bundle.copy(value);
  const added = bundle.definitions();
  if (added.length === 0 || !isObject(root)) return root;
  const own = isObject(root.$defs) ? Object.entries(root.$defs) : [];
  return { ...root, $defs: Object.fromEntries([...own, ...added]) };
}

class Bundle {
  /** Names under `$defs`, by pointer into the document. */
  private readonly names = new Map<string, string>();
  private readonly taken: Set<string>;
  private values = 0;

  constructor(
    private readonly document: unknown,
    private readonly pointer: string,
    taken: string[],
  ) {
    this.taken = new Set(taken);
  }

  /** The schemas that were referred to, each with the references of its own. */
  definitions(): [string, unknown][] {
    const made: [string, unknown][] = [];
    // The map grows while it is gone through.
    for (const [pointer, name] of this.names) made.push([name, this.copy(valueAt(this.document, pointer))]);
    return made;
  }

  copy(schema: unknown): unknown {
    const most = { values: MAX_SCHEMA_VALUES, depth: MAX_SCHEMA_DEPTH };
    const { values, depth } = sizeOf(schema, most);
    this.values += values;
    if (this.values > most.values || depth > most.depth)
      throw new DocumentRefusedError(this.pointer, 'must not be so large, with all that it refers to');
    return this.copied(schema);
  }

  private copied(schema: unknown): unknown {
    if (!isObject(schema) || typeof schema.$id === 'string') return schema;
    return Object.fromEntries(
      Object.entries(schema).map(([keyword, value]) => [keyword, this.keyword(keyword, value)]),
    );
  }

  private keyword(keyword: string, value: unknown): unknown {
    if (keyword === '$ref' && typeof value === 'string') return this.reference(value);
    // Those whose value is data.
    if (['const', 'enum', 'default', 'examples', 'example', 'required'].includes(keyword)) return value;
    if (Array.isArray(value)) return value.map((each) => this.copied(each));
    if (!isObject(value)) return value;
    return MAPS.has(keyword) ? this.copiedMap(value) : this.copied(value);
  }

  private copiedMap(schemas: SchemaObject): SchemaObject {
    return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, this.copied(schema)]));
  }

  private reference(reference: string): string {
    const parts = reference.startsWith('#/') ? pointerParts(reference.slice(1)) : undefined;
    // What is none of the document is refused by whoever compiles it.
    if (!parts) return reference;
    const pointer = parts.map(pointerTo).join('');
    // Percent signs are decoded again by whoever looks it up.
    const target = pointer.replaceAll('%', '%25');
    if (valueAt(this.document, target) === undefined)
      throw new DocumentRefusedError(this.pointer, `refers to \`${reference}\`, which is not there`);
    let name = this.names.get(target);
    if (name === undefined) {
      name = this.freeName(parts.at(-1) ?? 'schema');
      this.names.set(target, name);
    }
    return `#/$defs${pointerTo(name)}`;
  }

  private freeName(wanted: string): string {
    const plain = wanted.replaceAll(/[^A-Za-z0-9._-]/g, '_') || 'schema';
    for (let number = 1; ; number += 1) {
      const name = number === 1 ? plain : `${plain}_${number}`;
      if (this.taken.has(name)) continue;
      this.taken.add(name);
      return name;
    }
  }
}

const MAPS = new Set(['properties', 'patternProperties', 'dependentSchemas', '$defs', 'definitions']);
