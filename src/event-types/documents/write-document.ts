import { isObject } from '../../json-schema/schema-rules.js';
import type { EventTypeRecord } from '../event-type-record.js';
import { groupName } from '../event-types.schema.js';
import type { AfterSunset } from '../version-life.js';
import type { Extension } from './documented.js';

/** A version with its JSON read. */
export interface WrittenVersion {
  version: string;
  schema: unknown;
  examples: unknown[];
  deprecatedAt: Date | null;
  sunsetAt: Date | null;
  afterSunset: AfterSunset;
}

/** What is written of a type: each version, or the type alone where it has none. */
export const documentedVersions = ({ versions }: EventTypeRecord): (WrittenVersion | null)[] =>
  versions.length === 0
    ? [null]
    : versions.map((version) => ({
        ...version,
        schema: version.schema === null ? null : (JSON.parse(version.schema) as unknown),
        examples: JSON.parse(version.examples) as unknown[],
      }));

export const extensionOf = (
  { name, group, priority }: EventTypeRecord,
  version: WrittenVersion | null,
): Extension => ({
  type: name,
  version: version?.version ?? null,
  group,
  priority,
  ...(version
    ? {
        deprecatedAt: version.deprecatedAt?.toISOString() ?? null,
        sunsetAt: version.sunsetAt?.toISOString() ?? null,
        afterSunset: version.afterSunset,
      }
    : {}),
});

/** The name of a tag, which OpenAPI has as a text and AsyncAPI as an object, where a group may be called so. */
export function tagName(tag: unknown): string | undefined {
  const name = groupName.safeParse(isObject(tag) ? tag.name : tag);
  return name.success ? name.data : undefined;
}
