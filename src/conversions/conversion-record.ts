import type pg from 'pg';
import type { Database } from '../database/database.js';
import { changeBacklogsOf, RETRY_AT_ONCE } from '../endpoints/backlog-changes.js';
import { digestOf } from '../event-types/event-type-record.js';
import { programOf } from '../transformations/transformation-record.js';
import type { TransformationKind } from '../transformations/transformation.js';
import type { ConversionShown, ConversionTest } from './conversions.schema.js';

/** Which conversion. */
export interface ConversionRef {
  type: string;
  from: string;
  to: string;
}

/** What one does, as it is stored. */
export interface ConversionSource {
  kind: TransformationKind;
  /** Code, or the spec as JSON. */
  source: string;
  /** JSON text of a list. */
  tests: string;
}

export interface ConversionRow extends ConversionSource {
  /** UUID of what it does: of another program it is another. */
  id: string;
  created_at: Date;
  updated_at: Date;
}

export const SELECT_CONVERSION = `SELECT id, kind, source, tests, created_at, updated_at FROM event_type_conversions
  WHERE type = $1 AND from_version = $2 AND to_version = $3`;

export async function readConversion(
  client: pg.ClientBase,
  { type, from, to }: ConversionRef,
): Promise<ConversionRow | null> {
  const { rows } = await client.query<ConversionRow>(SELECT_CONVERSION, [type, from, to]);
  return rows[0] ?? null;
}

export async function saveConversion(
  client: pg.ClientBase,
  { type, from, to }: ConversionRef,
  { kind, source, tests }: ConversionSource,
  id: string,
): Promise<void> {
  await client.query(
    `INSERT INTO event_type_conversions AS c (type, from_version, to_version, id, kind, source, tests)
      VALUES ($1, $2, $3, $4, $5, $6, $7)
      ON CONFLICT (type, from_version, to_version) DO UPDATE SET id = excluded.id, kind = excluded.kind,
        source = excluded.source, tests = excluded.tests, updated_at = now(),
        warned_at = CASE WHEN c.id = excluded.id THEN c.warned_at END`,
    [type, from, to, id, kind, source, tests],
  );
}

/** How one is called in the audit log: as in its path. */
export const nameOf = ({ type, from, to }: ConversionRef): string =>
  `${type}/conversions/${encodeURIComponent(from)}/${encodeURIComponent(to)}`;

/** What the audit log tells: of program and tests their digests alone. */
export const auditedConversion = ({ kind, source, tests }: ConversionSource): Record<string, unknown> => ({
  kind,
  transformation: `sha256:${digestOf(source)}`,
  tests: `sha256:${digestOf(tests)}`,
});

export function showConversion({ type, from, to }: ConversionRef, row: ConversionRow): ConversionShown {
  const program = programOf(row);
  return {
    type,
    from,
    to,
    transformation: {
      kind: row.kind,
      code: program.kind === 'javascript' ? program.code : null,
      spec: program.kind === 'declarative' ? { ...program.spec } : null,
    },
    tests: JSON.parse(row.tests) as ConversionTest[],
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}

const PAGE = 1_000;

/**
 * Tries at once what waits because it could not be converted, whichever account it is of: page by page, so that attempts do
 * not wait for it. The reconciler is to be nudged after it.
 */
export async function retryUnconverted(database: Database, type: string): Promise<void> {
  const retryHeld = () => database.prepared('retry_unconverted_held', RETRY_HELD, [type]);
  await retryHeld();
  while ((await database.prepared('retry_unconverted', RETRY, [type])).length === PAGE);
  // Endpoints may have been held meanwhile.
  await retryHeld();
}

const RETRY = `
  WITH waiting AS (
    SELECT id FROM deliveries WHERE event_type = $1 AND status_reason = 'conversion_error' AND status = 'retrying'
      AND NOT express AND tell IS DISTINCT FROM 'retry' ORDER BY id LIMIT ${PAGE} FOR UPDATE
  )
  UPDATE deliveries d SET ${RETRY_AT_ONCE} FROM waiting w WHERE d.id = w.id
  RETURNING 1`;

/** Of endpoints that are held, or have just been: their deliveries are shown to wait for these, and not for a conversion. */
const RETRY_HELD = changeBacklogsOf(
  `'conversion:' || $1::text`,
  `(SELECT e.id FROM endpoints e WHERE e.event_versions ? $1::text
    AND (e.held_reason IS NOT NULL OR EXISTS (SELECT FROM backlog_changes b WHERE b.endpoint_id = e.id)) ORDER BY e.id) held`,
);
