import type pg from 'pg';
import type { Caller } from '../auth/caller.js';
import { type FieldError, Problem } from '../common/problems.js';

/**
 * What is to be stored of the lookups that an endpoint asks for; null for none. They are not deleted until the transaction
 * ends.
 *
 * @param before stored before: those may stay, whoever has added them
 * @throws Problem `validation_failed` for one that does not exist, and alike for one that the caller may not add
 */
export async function lookupsFor(
  client: pg.PoolClient,
  caller: Caller,
  wished: readonly string[],
  before: readonly string[] | null,
): Promise<string[] | null> {
  if (wished.length === 0) return null;
  const { rows } = await client.query<{ name: string; self_service: boolean }>(
    'SELECT name, self_service FROM lookups WHERE name = ANY ($1::text[]) ORDER BY name FOR SHARE',
    [wished],
  );
  const open = new Map(rows.map((row) => [row.name, row.self_service]));
  const mayHave = (name: string) =>
    open.has(name) &&
    (caller.accountId === null || open.get(name) === true || before?.includes(name) === true);
  const errors = wished.flatMap((name, index): FieldError[] =>
    mayHave(name) ? [] : [{ pointer: `/lookups/${index}`, detail: 'must be a lookup that you may add' }],
  );
  const [first] = errors;
  if (first) throw new Problem('validation_failed', `${first.pointer}: ${first.detail}`, { errors });
  return [...wished];
}
