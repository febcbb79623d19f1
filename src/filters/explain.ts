import { compile, TooCostly } from './compile.js';
import type { Comparison, Condition, FilteredEvent } from './condition.js';
import { isObject } from './reading.js';

/** Why an event is not for an endpoint: where it was asked (RFC 6901, from the filter on), and what was there instead. */
export interface Mismatch {
  pointer: string;
  detail: string;
}

/**
 * The first condition that an event does not meet, in the order in which the filter has them.
 *
 * @returns null when it meets them all
 * @throws TooCostly as evaluating does
 */
export function explain(condition: Condition, event: FilteredEvent): Mismatch | null {
  return compile(condition)(event) ? null : firstUnmet(condition, event, 'the event');
}

/** @param value does not meet the condition. @param name what it is called */
function firstUnmet(condition: Condition, value: unknown, name: string): Mismatch {
  const { pointer, kind } = condition;
  switch (kind) {
    case 'every': {
      const unmet = condition.of.find((each) => !holds(each, value));
      return unmet ? firstUnmet(unmet, value, name) : { pointer, detail: `${name} does not match` };
    }
    case 'members': {
      if (Array.isArray(value)) return { pointer, detail: `no element of ${name} matches all of this` };
      const own = isObject(value) ? value : {};
      const memberOf = (member: string) => (Object.hasOwn(own, member) ? own[member] : undefined);
      const unmet = condition.of.find((member) => !holds(member.condition, memberOf(member.name)));
      if (!unmet) return { pointer, detail: `${name} does not match` };
      const inner = name === 'the event' ? unmet.name : `${name}.${unmet.name}`;
      return firstUnmet(unmet.condition, memberOf(unmet.name), inner);
    }
    case 'some':
      return { pointer, detail: `none of these ${condition.of.length} alternatives matches` };
    case 'none':
      return { pointer, detail: `${name} matches what it must not` };
    case 'contains': {
      if (!Array.isArray(value)) return { pointer, detail: `${name} is ${given(value)}, not a list` };
      const unmet = condition.of.find((each) => !value.some((element) => holds(each, element)));
      return { pointer: unmet?.pointer ?? pointer, detail: `no element of ${name} matches` };
    }
    case 'compare':
      return { pointer, detail: `${name} is ${given(value)}: ${asked(condition)}` };
  }
}

const holds = (condition: Condition, value: unknown): boolean => {
  try {
    // Any value may be asked like an event: the tree tells fields from other members by their place alone.
    return compile(condition)(value as FilteredEvent);
  } catch (error) {
    if (error instanceof TooCostly) return false;
    throw error;
  }
};

function asked({ operator, operand }: Comparison): string {
  switch (operator) {
    case '$eq':
      return `must be ${wanted(operand)}`;
    case '$neq':
      return `must not be ${wanted(operand)}`;
    case '$in':
      return `must be one of ${wanted(operand)}`;
    case '$nin':
      return `must be none of ${wanted(operand)}`;
    case '$gt':
      return `must be greater than ${wanted(operand)}`;
    case '$gte':
      return `must be at least ${wanted(operand)}`;
    case '$lt':
      return `must be less than ${wanted(operand)}`;
    case '$lte':
      return `must be at most ${wanted(operand)}`;
    case '$startsWith':
      return `must start with ${operand.map(wanted).join(' or ')}`;
    case '$endsWith':
      return `must end with ${operand.map(wanted).join(' or ')}`;
    case '$exist':
      return operand ? 'must be there' : 'must not be there';
  }
}

const MAX_SHOWN = 100;

/** A value of the event. Of lists and objects the size alone: they may be as large and as deep as they like. */
function given(value: unknown): string {
  if (value === undefined) return 'absent';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (isObject(value)) return 'an object';
  return wanted(typeof value === 'string' ? value.slice(0, MAX_SHOWN + 1) : value);
}

/** As JSON, what is long cut. */
function wanted(operand: unknown): string {
  const text = JSON.stringify(operand);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}
