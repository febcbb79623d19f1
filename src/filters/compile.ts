import type { Comparison, Condition, FilteredEvent } from './condition.js';
import { MAX_COST } from './limits.js';
import { isObject } from './reading.js';

/** Evaluating a filter for an event cost more than {@link MAX_COST}. */
export class TooCostly extends Error {
  constructor() {
    super(`the filter looks at more than ${MAX_COST} values of this event`);
    this.name = 'TooCostly';
  }
}

/** What evaluating may still cost. */
class Meter {
  left = MAX_COST;

  spend(cost: number): void {
    this.left -= cost;
    if (this.left < 0) throw tooCostly;
  }
}

/** Made once: thrown for as many events as there are, and its stack says nothing. */
const tooCostly = new TooCostly();

type Check = (value: unknown, meter: Meter) => boolean;

/**
 * A condition as a function of events. It looks at own members alone, never at prototypes, and recurses as deep as the
 * condition, not as the data.
 *
 * @throws TooCostly from the function
 */
export function compile(condition: Condition): (event: FilteredEvent) => boolean {
  const check = checkOf(condition);
  return (event) => check(event, new Meter());
}

function checkOf(condition: Condition): Check {
  switch (condition.kind) {
    case 'every': {
      const checks = condition.of.map(checkOf);
      return (value, meter) => {
        for (const check of checks) if (!check(value, meter)) return false;
        return true;
      };
    }
    case 'some': {
      const checks = condition.of.map(checkOf);
      return (value, meter) => {
        for (const check of checks) if (check(value, meter)) return true;
        return false;
      };
    }
    case 'none': {
      const checks = condition.of.map(checkOf);
      return (value, meter) => {
        for (const check of checks) if (check(value, meter)) return false;
        return true;
      };
    }
    case 'members':
      return membersCheck(condition.of.map(({ name, condition: inner }) => [name, checkOf(inner)] as const));
    case 'contains': {
      const checks = condition.of.map(checkOf);
      return (value, meter) =>
        Array.isArray(value) && checks.every((check) => value.some((element) => check(element, meter)));
    }
    case 'compare':
      return comparisonCheck(condition);
  }
}

function membersCheck(members: readonly (readonly [string, Check])[]): Check {
  const hasAll: Check = (value, meter) => {
    const object = isObject(value) ? value : null;
    for (const [name, check] of members) {
      meter.spend(1);
      const member = object !== null && Object.hasOwn(object, name) ? object[name] : undefined;
      if (!check(member, meter)) return false;
    }
    return true;
  };
  return (value, meter) =>
    Array.isArray(value) ? value.some((element) => hasAll(element, meter)) : hasAll(value, meter);
}

function comparisonCheck(comparison: Comparison): Check {
  const { operator } = comparison;
  switch (operator) {
    case '$eq':
      return equalsAny([comparison.operand]);
    case '$neq':
      return not(equalsAny([comparison.operand]));
    case '$in':
      return equalsAny(comparison.operand);
    case '$nin':
      return not(equalsAny(comparison.operand));
    case '$exist': {
      const { operand } = comparison;
      return (value) => (value !== undefined) === operand;
    }
    case '$startsWith':
      return textCheck(comparison.operand, (text, part) => text.startsWith(part));
    case '$endsWith':
      return textCheck(comparison.operand, (text, part) => text.endsWith(part));
    case '$gt':
      return orderCheck(comparison.operand, (value, operand) => value > operand);
    case '$gte':
      return orderCheck(comparison.operand, (value, operand) => value >= operand);
    case '$lt':
      return orderCheck(comparison.operand, (value, operand) => value < operand);
    case '$lte':
      return orderCheck(comparison.operand, (value, operand) => value <= operand);
  }
}

const not =
  (check: Check): Check =>
  (value, meter) =>
    !check(value, meter);

/** Whether the value, or some element of it, is one of these. */
function equalsAny(operands: readonly unknown[]): Check {
  const scalars = new Set(operands.filter((operand) => typeof operand !== 'object' || operand === null));
  const others = operands.filter((operand) => typeof operand === 'object' && operand !== null);
  const equals: Check = (value, meter) => {
    meter.spend(1);
    // A set takes 0 and -0 for the same, as === does.
    if (typeof value !== 'object' || value === null) return scalars.has(value);
    return others.some((operand) => isEqual(operand, value, meter));
  };
  return (value, meter) =>
    equals(value, meter) || (Array.isArray(value) && value.some((element) => equals(element, meter)));
}

function textCheck(operands: readonly string[], holds: (text: string, operand: string) => boolean): Check {
  return elementwise((value) => typeof value === 'string' && operands.some((part) => holds(value, part)));
}

function orderCheck<Operand extends number | string>(
  operand: Operand,
  holds: (value: Operand, operand: Operand) => boolean,
): Check {
  const type = typeof operand;
  return elementwise((value) => typeof value === type && holds(value as Operand, operand));
}

const elementwise =
  (holds: (value: unknown) => boolean): Check =>
  (value, meter) => {
    meter.spend(1);
    if (!Array.isArray(value)) return holds(value);
    return value.some((element) => {
      meter.spend(1);
      return holds(element);
    });
  };

/** Equal as JSON values: members in any order. */
function isEqual(operand: unknown, value: unknown, meter: Meter): boolean {
  meter.spend(1);
  if (Array.isArray(operand)) {
    return (
      Array.isArray(value) &&
      value.length === operand.length &&
      operand.every((element, index) => isEqual(element, value[index], meter))
    );
  }
  if (!isObject(operand)) return operand === value;
  if (!isObject(value)) return false;
  const names = Object.keys(operand);
  for (const name of names)
    if (!Object.hasOwn(value, name) || !isEqual(operand[name], value[name], meter)) return false;
  const has = Object.keys(value).length;
  meter.spend(has);
  return has === names.length;
}
