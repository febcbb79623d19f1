import { createHash } from 'node:crypto';
import type pg from 'pg';
import { canonicalJson } from '../audit/canonical-json.js';
import { type Priority, priorityLevel, type PriorityLevel, priorityOf } from '../common/priority.js';
import type { EventTypeShown, EventTypeSummary, VersionShown } from './event-types.schema.js';
import type { AfterSunset } from './version-life.js';

/** A version of an event type as it is stored. */
export interface VersionRecord {
  version: string;
  /** JSON text; null: anything goes. */
  schema: string | null;
  /** JSON text of a list. */
  examples: string;
  deprecatedAt: Date | null;
  sunsetAt: Date | null;
  afterSunset: AfterSunset;
}

/** An event type as it is stored, its versions the oldest first. */
export interface EventTypeRecord {
  name: string;
  description: string | null;
  group: string | null;
  priority: Priority | null;
  versions: VersionRecord[];
}

export interface StoredEventType extends EventTypeRecord {
  /** The pairs of versions that there are conversions between. */
  conversions: { from: string; to: string }[];
  versions: (VersionRecord & { createdAt: Date })[];
  createdAt: Date;
  updatedAt: Date;
}

type Queryable = Pick<pg.ClientBase, 'query'>;

/** Nobody else changes event types until the transaction ends. Those who publish go on reading. */
export const lockEventTypes = (client: Queryable): Promise<unknown> =>
  // A row that is not there cannot be locked.
  client.query('LOCK TABLE event_types IN SHARE ROW EXCLUSIVE MODE');

/** @returns null for a type that is not registered */
export async function readEventType(client: Queryable, name: string): Promise<StoredEventType | null> {
  const { rows } = await client.query<EventTypeRow>(`${selectEventTypes('whole')} WHERE t.name = $1`, [name]);
  const [row] = rows;
  return row ? fromRow(row) : null;
}

/** Selects {@link EventTypeRow}s of `event_types t`. @param what `lives`: without schemas and examples, which may be large */
export const selectEventTypes = (what: 'whole' | 'lives'): string => `
  SELECT t.name, t.description, t.group_name, t.priority, t.created_at, t.updated_at, (
    SELECT json_agg(json_build_object('version', version, 'deprecated_at', extract(epoch FROM deprecated_at) * 1000,
      'sunset_at', extract(epoch FROM sunset_at) * 1000, 'after_sunset', after_sunset,
      'created_at', extract(epoch FROM created_at) * 1000,
      'schema', ${what === 'whole' ? 'schema' : 'NULL'}, 'examples', ${what === 'whole' ? 'examples' : "'[]'"}) ORDER BY position)
    FROM event_type_versions WHERE type = t.name) AS versions, (
    SELECT json_agg(json_build_object('from', from_version, 'to', to_version) ORDER BY f.position, v.position)
    FROM event_type_conversions x
    JOIN event_type_versions f ON f.type = x.type AND f.version = x.from_version
    JOIN event_type_versions v ON v.type = x.type AND v.version = x.to_version
    WHERE x.type = t.name) AS conversions
  FROM event_types t`;

/** Writes a type and all its versions; those that it does not name are removed. */
export async function saveEventType(
  client: Queryable,
  { name, description, group, priority, versions }: EventTypeRecord,
): Promise<void> {
  await client.query(
    `INSERT INTO event_types (name, description, group_name, priority) VALUES ($1, $2, $3, $4)
      ON CONFLICT (name) DO UPDATE SET description = excluded.description, group_name = excluded.group_name,
        priority = excluded.priority, updated_at = now()`,
    [name, description, group, priority && priorityLevel(priority)],
  );
  const input = versions.map((each, index) => ({
    version: each.version,
    position: index,
    schema: each.schema,
    schema_digest: each.schema === null ? null : digestOf(each.schema),
    examples: each.examples,
    deprecated_at: each.deprecatedAt,
    sunset_at: each.sunsetAt,
    after_sunset: each.afterSunset,
  }));
  await client.query('DELETE FROM event_type_versions WHERE type = $1 AND version <> ALL ($2::text[])', [
    name,
    versions.map(({ version }) => version),
  ]);
  // Whoever was told of another moment is told again.
  await client.query(
    `DELETE FROM event_type_sunset_warnings w USING event_type_versions v,
        json_to_recordset($2::json) AS i (version text, sunset_at timestamptz)
      WHERE w.type = $1 AND v.type = $1 AND v.version = w.version AND i.version = w.version
        AND i.sunset_at IS DISTINCT FROM v.sunset_at`,
    [name, JSON.stringify(input)],
  );
  await client.query(
    `INSERT INTO event_type_versions (type, version, position, schema, schema_digest, examples, deprecated_at, sunset_at,
       after_sunset)
     SELECT $1, version, position, schema, schema_digest, examples, deprecated_at, sunset_at, after_sunset
     FROM json_to_recordset($2::json) AS i (version text, position int, schema text, schema_digest text, examples text,
       deprecated_at timestamptz, sunset_at timestamptz, after_sunset text)
     ON CONFLICT (type, version) DO UPDATE SET position = excluded.position, schema = excluded.schema,
       schema_digest = excluded.schema_digest, examples = excluded.examples, deprecated_at = excluded.deprecated_at,
       sunset_at = excluded.sunset_at, after_sunset = excluded.after_sunset`,
    [name, JSON.stringify(input)],
  );
}

export const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex');

/** What the audit log tells of a type: of schemas and examples that they changed, and not what they are. */
export function auditedEventType({
  name,
  description,
  group,
  priority,
  versions,
  conversions,
}: StoredEventType): Record<string, unknown> {
  const told = versions.map((each) => ({
    version: each.version,
    schema: each.schema === null ? null : `sha256:${digestOf(each.schema)}`,
    examples: each.examples === '[]' ? null : `sha256:${digestOf(each.examples)}`,
    deprecatedAt: each.deprecatedAt?.toISOString() ?? null,
    sunsetAt: each.sunsetAt?.toISOString() ?? null,
    afterSunset: each.afterSunset,
  }));
  return {
    name,
    description,
    group,
    priority,
    versions: told.length === 0 ? null : told,
    conversions: conversions.length === 0 ? null : conversions,
  };
}

/** Whether writing the one in place of the other would change nothing; how JSON is spelt is no matter. */
export const isSameEventType = (one: EventTypeRecord, other: EventTypeRecord): boolean =>
  canonicalJson(comparable(one)) === canonicalJson(comparable(other));

const comparable = ({ name, description, group, priority, versions }: EventTypeRecord) => ({
  name,
  description,
  group,
  priority,
  versions: versions.map((each) => ({
    version: each.version,
    schema: each.schema === null ? [] : [JSON.parse(each.schema) as unknown],
    examples: JSON.parse(each.examples) as unknown,
    deprecatedAt: each.deprecatedAt?.getTime() ?? null,
    sunsetAt: each.sunsetAt?.getTime() ?? null,
    afterSunset: each.afterSunset,
  })),
});

export function showEventType(stored: StoredEventType): EventTypeShown {
  return { ...showHead(stored), versions: stored.versions.map(showVersion), conversions: stored.conversions };
}

export function summariseEventType(stored: StoredEventType): EventTypeSummary {
  return { ...showHead(stored), versions: stored.versions.map(showLife) };
}

const showHead = ({ name, description, group, priority, createdAt, updatedAt }: StoredEventType) => ({
  name,
  description,
  group,
  priority,
  createdAt: createdAt.toISOString(),
  updatedAt: updatedAt.toISOString(),
});

const showLife = (each: StoredEventType['versions'][number]) => ({
  version: each.version,
  deprecatedAt: each.deprecatedAt?.toISOString() ?? null,
  sunsetAt: each.sunsetAt?.toISOString() ?? null,
  afterSunset: each.afterSunset,
  createdAt: each.createdAt.toISOString(),
});

const showVersion = (each: StoredEventType['versions'][number]): VersionShown => ({
  ...showLife(each),
  schema: each.schema === null ? null : (JSON.parse(each.schema) as unknown),
  examples: JSON.parse(each.examples) as unknown[],
});

export interface EventTypeRow {
  name: string;
  description: string | null;
  group_name: string | null;
  priority: PriorityLevel | null;
  created_at: Date;
  updated_at: Date;
  versions: VersionRow[] | null;
  conversions: StoredEventType['conversions'] | null;
}

interface VersionRow {
  version: string;
  schema: string | null;
  examples: string;
  /** Unix milliseconds, as are the others. */
  deprecated_at: number | null;
  sunset_at: number | null;
  after_sunset: AfterSunset;
  created_at: number;
}

export const fromRow = (row: EventTypeRow): StoredEventType => ({
  name: row.name,
  description: row.description,
  group: row.group_name,
  priority: row.priority === null ? null : priorityOf(row.priority),
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  versions: (row.versions ?? []).map((each) => ({
    version: each.version,
    schema: each.schema,
    examples: each.examples,
    deprecatedAt: each.deprecated_at === null ? null : new Date(each.deprecated_at),
    sunsetAt: each.sunset_at === null ? null : new Date(each.sunset_at),
    afterSunset: each.after_sunset,
    createdAt: new Date(each.created_at),
  })),
  conversions: row.conversions ?? [],
});
