import { type Condition, FIELDS, type Operator } from './condition.js';
import { isObject, pointerOf, type Reading } from './reading.js';

type Path = readonly string[];

/** What an operator takes, said as the fault of what it does not take. */
const TAKES: Record<Operator, (operand: unknown) => string | null> = {
  $eq: () => null,
  $neq: () => null,
  $gt: ordered,
  $gte: ordered,
  $lt: ordered,
  $lte: ordered,
  $in: (operand) => (isFilled(operand) ? null : 'must be a list of one value and more'),
  $nin: (operand) => (isFilled(operand) ? null : 'must be a list of one value and more'),
  $startsWith: textual,
  $endsWith: textual,
  $exist: (operand) => (typeof operand === 'boolean' ? null : 'must be true or false'),
};

const COMBINED = { $and: 'every', $or: 'some' } as const;
const OF_EVENTS = ['$and', '$or', '$not'];
const OF_VALUES = [...Object.keys(TAKES), ...OF_EVENTS];

/** A condition on a whole event: on its fields, which `$and`, `$or` and `$not` combine. */
export function readEventCondition(reading: Reading, path: Path, json: unknown): Condition {
  if (!isObject(json)) return refuse(reading, path, 'must be an object');
  for (const name of Object.keys(json)) {
    if (FIELDS.some((field) => field === name) || OF_EVENTS.includes(name)) continue;
    reading.fault(
      [...path, name],
      name === 'cel'
        ? '`cel` stands beside the fields of the event, not within'
        : `must be one of ${[...FIELDS, ...OF_EVENTS].map((known) => `\`${known}\``).join(', ')}`,
    );
  }
  return readObject(reading, path, json, readEventCondition);
}

/** A condition on a value: a value to equal, a list of what it must contain, or operators and conditions on its members. */
function readValueCondition(reading: Reading, path: Path, json: unknown): Condition {
  const pointer = pointerOf(path);
  if (Array.isArray(json)) {
    reading.count(path);
    if (json.length === 0) return refuse(reading, path, 'must not be empty');
    const of = json.map((each, index) => readValueCondition(reading, [...path, String(index)], each));
    return { kind: 'contains', of, pointer };
  }
  if (!isObject(json)) {
    reading.operand(path, json);
    return { kind: 'compare', operator: '$eq', operand: json, pointer };
  }
  for (const name of Object.keys(json)) {
    if (name.startsWith('$') && !OF_VALUES.includes(name))
      reading.fault([...path, name], `there is no such operator; there are ${OF_VALUES.join(', ')}`);
  }
  return readObject(reading, path, json, readValueCondition);
}

function readObject(
  reading: Reading,
  path: Path,
  json: Readonly<Record<string, unknown>>,
  readInner: typeof readValueCondition,
): Condition {
  reading.count(path);
  const pointer = pointerOf(path);
  const members: { name: string; condition: Condition }[] = [];
  const of: Condition[] = [];
  for (const [name, value] of Object.entries(json)) {
    const at = [...path, name];
    reading.count(at, name.length);
    if (name === '$and' || name === '$or') {
      of.push({ kind: COMBINED[name], of: readList(reading, at, value, readInner), pointer: pointerOf(at) });
    } else if (name === '$not') {
      of.push({ kind: 'none', of: [readInner(reading, at, value)], pointer: pointerOf(at) });
    } else if (name.startsWith('$')) {
      if (Object.hasOwn(TAKES, name)) of.push(readComparison(reading, at, name as Operator, value));
    } else {
      members.push({ name, condition: readValueCondition(reading, at, value) });
    }
  }
  if (members.length > 0) of.unshift({ kind: 'members', of: members, pointer });
  const [only] = of;
  if (!only) return refuse(reading, path, 'must not be empty');
  return of.length === 1 ? only : { kind: 'every', of, pointer };
}

function readList(
  reading: Reading,
  path: Path,
  json: unknown,
  readInner: typeof readValueCondition,
): Condition[] {
  if (!isFilled(json)) return [refuse(reading, path, 'must be a list of one condition and more')];
  return json.map((each, index) => readInner(reading, [...path, String(index)], each));
}

function readComparison(reading: Reading, path: Path, operator: Operator, operand: unknown): Condition {
  reading.operand(path, operand);
  const fault = TAKES[operator](operand);
  if (fault !== null) return refuse(reading, path, fault);
  const isTexts = operator === '$startsWith' || operator === '$endsWith';
  return {
    kind: 'compare',
    operator,
    operand: isTexts && typeof operand === 'string' ? [operand] : operand,
    pointer: pointerOf(path),
  } as Condition;
}

/** Something to stand for what could not be read: with a fault, nobody gets to see the tree. */
function refuse(reading: Reading, path: Path, detail: string): Condition {
  reading.fault(path, detail);
  return { kind: 'every', of: [], pointer: pointerOf(path) };
}

function ordered(operand: unknown): string | null {
  return typeof operand === 'number' || typeof operand === 'string' ? null : 'must be a number or a text';
}

function textual(operand: unknown): string | null {
  const given = isFilled(operand) ? operand : [operand];
  return given.every((text) => typeof text === 'string' && text !== '')
    ? null
    : 'must be a text, or a list of texts, none of them empty';
}

function isFilled(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && value.length > 0;
}
