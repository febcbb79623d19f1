/** What a filter may ask of an event. */
export interface FilteredEvent {
  type: string;
  data: unknown;
  tags: readonly string[];
  /** That it was published with; null without one. */
  priority: string | null;
}

export const FIELDS = ['type', 'data', 'tags', 'priority'] as const satisfies (keyof FilteredEvent)[];

/**
 * What is asked of a value, both spellings of filters alike. `pointer` (RFC 6901, from the filter) is where it was written.
 *
 * - `every`, `some`, `none`: of these conditions on the same value
 * - `members`: of an object's own members; of a list, that one element has them all
 * - `contains`: that the value is a list in which each condition is met by some element
 * - `compare`: that the value, or some element of it where it is a list, compares so
 */
export type Condition = { pointer: string } & (
  | { kind: 'every' | 'some' | 'none'; of: readonly Condition[] }
  | { kind: 'members'; of: readonly { name: string; condition: Condition }[] }
  | { kind: 'contains'; of: readonly Condition[] }
  | { kind: 'compare'; operator: '$eq' | '$neq'; operand: unknown }
  | { kind: 'compare'; operator: '$in' | '$nin'; operand: readonly unknown[] }
  | { kind: 'compare'; operator: '$gt' | '$gte' | '$lt' | '$lte'; operand: number | string }
  | { kind: 'compare'; operator: '$startsWith' | '$endsWith'; operand: readonly string[] }
  | { kind: 'compare'; operator: '$exist'; operand: boolean }
);

export type Comparison = Extract<Condition, { kind: 'compare' }>;
export type Operator = Comparison['operator'];

/** A filter that was read: both parts must hold, where there are both. */
export interface Filter {
  condition: Condition | null;
  /** A CEL expression. */
  cel: string | null;
}

/** Types of events that a condition on an event is never met by others than; null where it leaves them open. */
export function typesOf(condition: Condition): Set<string> | null {
  switch (condition.kind) {
    case 'members': {
      const onType = condition.of.find(({ name }) => name === 'type');
      return onType ? textsOf(onType.condition) : null;
    }
    case 'every':
      return condition.of.map(typesOf).reduce(both, null);
    case 'some':
      return condition.of.map(typesOf).reduce(either);
    case 'none':
    case 'contains':
    case 'compare':
      return null;
  }
}

/** The only texts that meet a condition on a text; null where it leaves them open. */
function textsOf(condition: Condition): Set<string> | null {
  switch (condition.kind) {
    case 'every':
      return condition.of.map(textsOf).reduce(both, null);
    case 'some':
      return condition.of.map(textsOf).reduce(either);
    case 'compare':
      if (condition.operator === '$eq') return new Set(texts([condition.operand]));
      if (condition.operator === '$in') return new Set(texts(condition.operand));
      return null;
    case 'none':
    case 'members':
    case 'contains':
      return null;
  }
}

const texts = (values: readonly unknown[]): string[] =>
  values.filter((value): value is string => typeof value === 'string');

const both = (one: Set<string> | null, other: Set<string> | null): Set<string> | null =>
  one && other ? new Set([...one].filter((type) => other.has(type))) : (one ?? other);

const either = (one: Set<string> | null, other: Set<string> | null): Set<string> | null =>
  one && other && new Set([...one, ...other]);
