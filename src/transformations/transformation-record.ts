import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { Spec } from './declarative.js';
import type { Program, TransformationKind } from './transformation.js';

/** A version as it is stored. */
export interface VersionRow {
  id: string;
  version: number;
  kind: TransformationKind;
  /** Code, or the spec as JSON. */
  source: string;
  created_at: Date;
}

/** The version in force, and whether it is. */
export interface TransformationRow extends Omit<VersionRow, 'created_at'> {
  enabled: boolean;
  created_at: Date;
  updated_at: Date;
}

export const sourceOf = (program: Program): string =>
  program.kind === 'javascript' ? program.code : JSON.stringify(program.spec);

export const programOf = ({ kind, source }: Pick<VersionRow, 'kind' | 'source'>): Program =>
  kind === 'javascript' ? { kind, code: source } : { kind, spec: JSON.parse(source) as Spec };

/** What the audit log tells: of the program its digest alone. */
export const auditedOf = (row: TransformationRow): Record<string, unknown> => ({
  version: row.version,
  kind: row.kind,
  enabled: row.enabled,
  sha256: createHash('sha256').update(row.source).digest('hex'),
});

export const CURRENT = `SELECT v.id, v.version, v.kind, v.source, t.enabled, t.created_at, t.updated_at
  FROM transformations t JOIN transformation_versions v ON v.id = t.version_id`;

export async function currentOf(
  client: pg.PoolClient,
  endpointId: string,
): Promise<TransformationRow | null> {
  const { rows } = await client.query<TransformationRow>(`${CURRENT} WHERE t.endpoint_id = $1`, [endpointId]);
  return rows[0] ?? null;
}

export async function addVersion(
  client: pg.PoolClient,
  endpointId: string,
  id: string,
  program: Program,
): Promise<void> {
  await client.query(
    `INSERT INTO transformation_versions (id, endpoint_id, version, kind, source)
      SELECT $1, $2, coalesce(max(version), 0) + 1, $3, $4 FROM transformation_versions WHERE endpoint_id = $2`,
    [id, endpointId, program.kind, sourceOf(program)],
  );
}

/** Drops all but the latest ones, and the one in force. */
export async function pruneVersions(client: pg.PoolClient, endpointId: string, keep: number): Promise<void> {
  await client.query(
    `DELETE FROM transformation_versions v WHERE endpoint_id = $1
      AND version <= (SELECT max(version) FROM transformation_versions WHERE endpoint_id = $1) - $2
      AND NOT EXISTS (SELECT FROM transformations t WHERE t.version_id = v.id)`,
    [endpointId, keep],
  );
}

/** From the next attempt on. What waits because it failed is tried at once. */
export async function putInForce(
  client: pg.PoolClient,
  endpointId: string,
  versionId: string,
  enabled: boolean,
): Promise<void> {
  await client.query(
    `INSERT INTO transformations (endpoint_id, version_id, enabled) VALUES ($1, $2, $3)
      ON CONFLICT (endpoint_id) DO UPDATE SET version_id = excluded.version_id, enabled = excluded.enabled,
        updated_at = now()`,
    [endpointId, versionId, enabled],
  );
  await setVersion(client, endpointId, enabled ? versionId : null);
}

/** With all its versions. */
export async function removeTransformation(client: pg.PoolClient, endpointId: string): Promise<void> {
  await client.query('DELETE FROM transformation_versions WHERE endpoint_id = $1', [endpointId]);
  await setVersion(client, endpointId, null);
}

async function setVersion(
  client: pg.PoolClient,
  endpointId: string,
  versionId: string | null,
): Promise<void> {
  await client.query('UPDATE endpoints SET transformation_id = $2 WHERE id = $1', [endpointId, versionId]);
}
