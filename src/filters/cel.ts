import { type ASTNode, Environment } from '@marcbachmann/cel-js';

const environment = new Environment({
  homogeneousAggregateLiterals: false,
  limits: { maxAstNodes: 500, maxDepth: 32, maxListElements: 200, maxMapEntries: 200, maxCallArguments: 8 },
}).registerVariable('event', 'dyn');

/** Functions that go over a list with an expression of their own. */
const COMPREHENSIONS = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);

/** @returns what is wrong with an expression; null when a filter may be it */
export function checkCel(source: string): string | null {
  try {
    const program = environment.parse(source);
    const refused = refusedIn(program.ast, false);
    if (refused !== null) return refused;
    const { valid, error, type } = program.check();
    if (!valid) return error?.summary ?? 'is not valid CEL';
    return type === 'bool' || type === 'dyn' ? null : `must be true or false, not of the type ${type ?? ''}`;
  } catch (error) {
    return (error as { summary?: string }).summary ?? 'is not valid CEL';
  }
}

/**
 * Regular expressions and loops within loops are what small expressions cost much by, `split` and `join` what makes them
 * fill the memory at one stroke. What is left costs as much as the
 * data is large, but for lists that are searched for each of their elements: hence the time limit.
 */
function refusedIn(node: unknown, inside: boolean): string | null {
  if (Array.isArray(node)) return firstOf(node, (each) => refusedIn(each, inside));
  if (typeof node !== 'object' || node === null || !('op' in node)) return null;
  const { op, args } = node as ASTNode;
  if (op !== 'rcall') return refusedIn(args, inside);
  const [name, receiver, given] = args;
  if (name === 'matches') return NO_MATCHES;
  if (name === 'split' || name === 'join') return `\`${name}\` is not supported`;
  const loops = COMPREHENSIONS.has(name);
  if (loops && inside)
    return `\`${name}\` must not stand within another of ${[...COMPREHENSIONS].join(', ')}`;
  return refusedIn(receiver, inside) ?? refusedIn(given, inside || loops);
}

const NO_MATCHES = '`matches` is not supported: use `startsWith`, `endsWith` or `contains`';

function firstOf<T>(items: readonly unknown[], find: (item: unknown) => T | null): T | null {
  for (const item of items) {
    const found = find(item);
    if (found !== null) return found;
  }
  return null;
}

/** An event as expressions see it. */
export type CelEvent = ReadonlyMap<string, unknown>;
export type CelProgram = (event: CelEvent) => boolean;

/**
 * A JSON value with maps for objects: of an object the evaluator asks its `constructor`, which an event's data may have as
 * a member of its own. As deep as it likes.
 */
export function celEvent(event: object): CelEvent {
  const root = new Map<string, unknown>();
  const left: [object, Map<string, unknown> | unknown[]][] = [[event, root]];
  for (let next = left.pop(); next; next = left.pop()) {
    const [source, target] = next;
    for (const [name, value] of Object.entries(source) as [string, unknown][]) {
      let seen = value;
      if (typeof value === 'object' && value !== null) {
        const inner = Array.isArray(value) ? [] : new Map<string, unknown>();
        left.push([value, inner]);
        seen = inner;
      }
      if (target instanceof Map) target.set(name, seen);
      else target.push(seen);
    }
  }
  return root;
}

/**
 * An expression to run where it can be killed. What asks for a member that is not there is not met.
 *
 * @throws from the program for whatever else goes wrong while it runs
 */
export function compileCel(source: string): CelProgram {
  const program = environment.parse(source);
  return (event) => {
    let result: unknown;
    try {
      result = program({ event });
    } catch (error) {
      if (ABSENT.has(String((error as { code?: unknown }).code))) return false;
      throw error;
    }
    if (typeof result === 'boolean') return result;
    throw new Error(`the expression is neither true nor false`);
  };
}

const ABSENT = new Set(['no_such_key', 'index_out_of_bounds']);
