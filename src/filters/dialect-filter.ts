import { type Condition, FIELDS } from './condition.js';
import { isObject, pointerOf, type Reading } from './reading.js';

type Path = readonly string[];

/** The filter dialects of CloudEvents Subscriptions 1.0 (§ 3.2.4) that there are here. */
export const DIALECTS = ['exact', 'prefix', 'suffix', 'all', 'any', 'not'] as const;
type Dialect = (typeof DIALECTS)[number];

const isDialect = (name: string): name is Dialect => DIALECTS.some((dialect) => dialect === name);

/** Whether a filter is written in them: as one filter expression, or as the list that a subscription has. */
export const speaksDialects = (json: unknown): boolean =>
  Array.isArray(json) ||
  (isObject(json) && Object.keys(json).some((name) => isDialect(name) || name === 'sql'));

/** A filter in the dialects, as the tree that the JSON spelling has. A list holds when all of it does, as in a subscription. */
export function readDialects(reading: Reading, path: Path, json: unknown): Condition {
  return Array.isArray(json) ? readAll(reading, path, json, 'every') : readExpression(reading, path, json);
}

function readExpression(reading: Reading, path: Path, json: unknown): Condition {
  reading.count(path);
  const names = isObject(json) ? Object.keys(json) : [];
  const [name] = names;
  if (!isObject(json) || name === undefined || names.length > 1)
    return refuse(reading, path, `must be an object with one of ${DIALECTS.join(', ')}`);
  const at = [...path, name];
  reading.count(at, name.length);
  if (!isDialect(name)) {
    const what = name === 'sql' ? 'the dialect `sql` is not supported' : 'there is no such dialect';
    return refuse(reading, at, `${what}; there are ${DIALECTS.join(', ')}`);
  }
  switch (name) {
    case 'all':
      return readAll(reading, at, json[name], 'every');
    case 'any':
      return readAll(reading, at, json[name], 'some');
    case 'not':
      return { kind: 'none', of: [readExpression(reading, at, json[name])], pointer: pointerOf(at) };
    case 'exact':
    case 'prefix':
    case 'suffix':
      return readAttributes(reading, at, json[name], name);
  }
}

function readAll(reading: Reading, path: Path, json: unknown, kind: 'every' | 'some'): Condition {
  if (!Array.isArray(json) || json.length === 0)
    return refuse(reading, path, 'must be a list of one filter and more');
  const of = json.map((each, index) => readExpression(reading, [...path, String(index)], each));
  return { kind, of, pointer: pointerOf(path) };
}

function readAttributes(
  reading: Reading,
  path: Path,
  json: unknown,
  dialect: 'exact' | 'prefix' | 'suffix',
): Condition {
  if (!isObject(json) || Object.keys(json).length === 0)
    return refuse(reading, path, 'must be an object of attributes and what they must be');
  const of = Object.entries(json).map(([attribute, wanted]) => {
    const at = [...path, attribute];
    reading.count(at, attribute.length);
    reading.operand(at, wanted);
    const names = attribute.split('.');
    if (!FIELDS.some((field) => field === names[0]) || (names.length > 1 && names[0] !== 'data'))
      return refuse(
        reading,
        at,
        'must be `type`, `tags`, `priority`, `data`, or `data.` and a path with dots',
      );
    if (names.length > MAX_NAMES) return refuse(reading, at, `must not have more than ${MAX_NAMES} names`);
    const scalar = typeof wanted === 'number' || typeof wanted === 'boolean';
    if (!(dialect === 'exact' && scalar) && (typeof wanted !== 'string' || wanted === ''))
      return refuse(reading, at, 'must be a text, not an empty one');
    const pointer = pointerOf(at);
    const asked: Condition =
      dialect === 'exact'
        ? { kind: 'compare', operator: '$eq', operand: wanted, pointer }
        : {
            kind: 'compare',
            operator: dialect === 'prefix' ? '$startsWith' : '$endsWith',
            operand: [String(wanted)],
            pointer,
          };
    return names.reduceRight<Condition>(
      (condition, name) => ({ kind: 'members', of: [{ name, condition }], pointer }),
      asked,
    );
  });
  return { kind: 'every', of, pointer: pointerOf(path) };
}

/** Of a path: as deep as the other spelling goes. */
const MAX_NAMES = 16;

/** Something to stand for what could not be read: with a fault, nobody gets to see the tree. */
function refuse(reading: Reading, path: Path, detail: string): Condition {
  reading.fault(path, detail);
  return { kind: 'every', of: [], pointer: pointerOf(path) };
}
