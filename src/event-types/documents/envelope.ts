import { isObject, type SchemaObject, subschemas } from '../../json-schema/schema-rules.js';
import type { Placed } from './documented.js';

/** What a receiver gets: the envelope around the data of an event, as a schema and as examples. */
export interface EnvelopeOf {
  type: string;
  version: string;
  /** Null: anything goes. */
  schema: unknown;
}

const idOf = ({ type, version }: Omit<EnvelopeOf, 'schema'>): string =>
  `urn:posthorn:event-type:${type}:${encodeURIComponent(version)}`;

export function envelopeSchema({ type, version, schema }: EnvelopeOf): SchemaObject {
  return {
    type: 'object',
    required: ['id', 'type', 'timestamp', 'version', 'data'],
    properties: {
      id: { type: 'string' },
      type: { const: type },
      timestamp: { type: 'string', format: 'date-time' },
      version: { const: version },
      ...(schema === null ? {} : { data: standingAlone({ type, version, schema }) }),
    },
  };
}

export const envelopeExample = (type: string, version: string, data: unknown): SchemaObject => ({
  id: 'evt_01h455vb4pex5vsknk084sn02q',
  type,
  timestamp: '2026-01-01T00:00:00.000Z',
  version,
  data,
});

/** With an `$id` its references stay its own wherever it stands (JSON Schema 2020-12 Core §8.2.1). */
function standingAlone(of: EnvelopeOf): unknown {
  const { schema } = of;
  if (!isObject(schema) || schema.$id !== undefined || !hasReferences(schema)) return schema;
  return { $id: idOf(of), ...schema };
}

function hasReferences(schema: SchemaObject): boolean {
  if (schema.$ref !== undefined || schema.$dynamicRef !== undefined) return true;
  for (const [, inner] of subschemas(schema)) if (isObject(inner) && hasReferences(inner)) return true;
  return false;
}

/**
 * The schema of the data where that of the envelope is given, otherwise what is given: other documents tell of the data
 * alone.
 */
export function dataSchema(
  type: string,
  version: string,
  given: Placed | undefined,
): { schema: Placed | null; isEnvelope: boolean } {
  if (!given) return { schema: null, isEnvelope: false };
  const properties = isObject(given.value) ? given.value.properties : undefined;
  const isEnvelope =
    isObject(properties) &&
    isObject(properties.type) &&
    properties.type.const === type &&
    isObject(properties.version) &&
    properties.version.const === version;
  if (!isEnvelope) return { schema: given, isEnvelope };
  if (!Object.hasOwn(properties, 'data')) return { schema: null, isEnvelope };
  return { schema: { pointer: `${given.pointer}/properties/data`, value: properties.data }, isEnvelope };
}

/** The schema of the data as it was before it was written. */
export const withoutOwnId = (type: string, version: string, schema: unknown): unknown =>
  isObject(schema) && schema.$id === idOf({ type, version })
    ? Object.fromEntries(Object.entries(schema).filter(([keyword]) => keyword !== '$id'))
    : schema;
