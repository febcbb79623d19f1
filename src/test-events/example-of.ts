import type pg from 'pg';

/** Where an endpoint takes no type by its exact name. */
export const DEFAULT_TEST_TYPE = 'posthorn.test';

/** The type that a test has when nobody says one: the first that the endpoint names exactly. */
export const testTypeOf = (eventTypes: readonly string[] | null): string =>
  eventTypes?.find((type) => !type.endsWith('.*')) ?? DEFAULT_TEST_TYPE;

/**
 * What is sent as a test of this type when nobody gives any data: the first example that the catalogue has of its newest
 * version that has one.
 */
export async function exampleOf(
  client: pg.PoolClient,
  type: string,
): Promise<{ version: string; data: string }> {
  const { rows } = await client.query<{ version: string; data: string }>(
    `SELECT version, (examples::json -> 0)::text AS data FROM event_type_versions
      WHERE type = $1 AND json_array_length(examples::json) > 0 ORDER BY position DESC LIMIT 1`,
    [type],
  );
  return rows[0] ?? { version: '1', data: JSON.stringify({ example: type }) };
}
