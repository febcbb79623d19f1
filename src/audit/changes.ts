import { canonicalJson } from './canonical-json.js';

/** What changed, by the name of the field as the API has it. */
export type Changes = Record<string, { from: unknown; to: unknown }>;

type Fields = Readonly<Record<string, unknown>>;

/**
 * The fields that differ. What did not exist before was null in all its fields, and what is gone is null in all of them.
 *
 * @param hide what stands for a value of a field that is not to be shown as it is; it is asked after the comparison, so
 *   that a secret that was replaced by another one is seen to have changed
 */
export function changesBetween(
  before: Fields | null,
  after: Fields | null,
  hide: Readonly<Record<string, (value: unknown) => unknown>> = {},
): Changes {
  const names = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})]);
  const changes: [string, { from: unknown; to: unknown }][] = [];
  for (const name of names) {
    const from = fieldOf(before, name);
    const to = fieldOf(after, name);
    if (canonicalJson(from) === canonicalJson(to)) continue;
    // hasOwn: `toString` is a field's name like any other.
    const hidden = Object.hasOwn(hide, name) ? hide[name] : undefined;
    const show = (value: unknown) => (value === null || !hidden ? value : hidden(value));
    changes.push([name, { from: show(from), to: show(to) }]);
  }
  return Object.fromEntries(changes);
}

/**
 * Of named texts, such as headers, those that were added, removed or replaced: in `from` as they were, in `to` as they are.
 *
 * @param show what stands for a text of this name
 * @returns null when all are the same
 */
export function changesOfEntries(
  before: Fields,
  after: Fields,
  show: (text: unknown, name: string) => unknown = (text) => text,
): { from: Fields; to: Fields } | null {
  const changed = Object.keys(changesBetween(before, after));
  if (changed.length === 0) return null;
  const shown = (fields: Fields) =>
    Object.fromEntries(
      changed.filter((name) => Object.hasOwn(fields, name)).map((name) => [name, show(fields[name], name)]),
    );
  return { from: shown(before), to: shown(after) };
}

const fieldOf = (fields: Fields | null, name: string): unknown =>
  fields !== null && Object.hasOwn(fields, name) ? (fields[name] ?? null) : null;
