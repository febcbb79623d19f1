/** A property by name, an element by number, or all elements. */
export type Segment = string | number | typeof EVERY;
export const EVERY = Symbol('every element');

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

const MAX_SEGMENTS = 32;
const SEGMENT = /\.?([A-Za-z_$][\w$-]*)|\[(\d{1,9})\]|\[(\*)\]|\[("(?:[^"\\]|\\.)*")\]/y;

/**
 * Reads `data.customer.name`, `data.items[0]`, `data.items[*].price`, `data["odd name"]`; a leading `$.` may be there.
 *
 * @returns null for what is no path
 */
export function parsePath(text: string): Segment[] | null {
  const rest = text.replace(/^\$(?=[.[])\.?/, '');
  const segments: Segment[] = [];
  SEGMENT.lastIndex = 0;
  while (SEGMENT.lastIndex < rest.length) {
    const at = SEGMENT.lastIndex;
    const found = SEGMENT.exec(rest);
    if (!found || segments.length === MAX_SEGMENTS) return null;
    const [whole, name, index, every, quoted] = found;
    // A dot stands between names, and before the first one there is nothing to part it from.
    if (name !== undefined && whole.startsWith('.') === (at === 0)) return null;
    if (name !== undefined) segments.push(name);
    else if (index !== undefined) segments.push(Number(index));
    else if (every !== undefined) segments.push(EVERY);
    else {
      const unquoted = unquote(quoted ?? '');
      if (unquoted === null) return null;
      segments.push(unquoted);
    }
  }
  return segments.length === 0 ? null : segments;
}

function unquote(quoted: string): string | null {
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return null;
  }
}

/** What many paths choose of a value, in the shape of the value. */
export interface Choice {
  /** The whole of it. */
  isWhole: boolean;
  parts: Map<Segment, Choice>;
}

export function choiceOf(paths: readonly (readonly Segment[])[]): Choice {
  const root: Choice = { isWhole: false, parts: new Map() };
  for (const path of paths) {
    let at = root;
    for (const segment of path) {
      let next = at.parts.get(segment);
      if (!next) {
        next = { isWhole: false, parts: new Map() };
        at.parts.set(segment, next);
      }
      at = next;
    }
    at.isWhole = true;
  }
  return root;
}

/** Only what is chosen; of an array the chosen elements, without gaps. @returns undefined when nothing of it is */
export function pick(value: Json, choices: readonly Choice[]): Json | undefined {
  if (choices.length === 0) return undefined;
  if (choices.some(({ isWhole }) => isWhole)) return value;
  if (Array.isArray(value)) {
    const picked = value.flatMap((element, index) => {
      const kept = pick(element, ofElement(choices, index));
      return kept === undefined ? [] : [kept];
    });
    return hasElements(choices) ? picked : undefined;
  }
  if (value === null || typeof value !== 'object') return undefined;
  const kept: [string, Json][] = [];
  for (const [name, part] of Object.entries(value)) {
    const chosen = pick(part, ofProperty(choices, name));
    if (chosen !== undefined) kept.push([name, chosen]);
  }
  return kept.length > 0 ? Object.fromEntries(kept) : undefined;
}

/** All but what is chosen; an array closes up. */
export function omit(value: Json, choices: readonly Choice[]): Json {
  if (choices.length === 0) return value;
  const isChosen = (of: readonly Choice[]) => of.some(({ isWhole }) => isWhole);
  if (Array.isArray(value)) {
    return value.flatMap((element, index) => {
      const chosen = ofElement(choices, index);
      return isChosen(chosen) ? [] : [omit(element, chosen)];
    });
  }
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, part]) => {
      const chosen = ofProperty(choices, name);
      return isChosen(chosen) ? [] : [[name, omit(part, chosen)] as const];
    }),
  );
}

const ofProperty = (choices: readonly Choice[], name: string): Choice[] =>
  choices.flatMap(({ parts }) => parts.get(name) ?? []);

const ofElement = (choices: readonly Choice[], index: number): Choice[] =>
  choices.flatMap(({ parts }) => [parts.get(index) ?? [], parts.get(EVERY) ?? []].flat());

const hasElements = (choices: readonly Choice[]): boolean =>
  choices.some(({ parts }) => [...parts.keys()].some((segment) => typeof segment !== 'string'));

/** @param path without {@link EVERY}. @returns undefined where there is nothing */
export function valueAt(value: Json, path: readonly Segment[]): Json | undefined {
  let at: Json | undefined = value;
  for (const segment of path) at = at === undefined ? undefined : partOf(at, segment);
  return at;
}

/**
 * Puts a value at a path; objects on the way are made. Only a value's own properties count: `__proto__` is a name like any
 * other.
 *
 * @param path without {@link EVERY}
 * @returns false when something on the way is neither an object nor an element that is there or comes next
 */
export function setAt(value: Json, path: readonly Segment[], put: Json): boolean {
  let at = value;
  for (const [index, segment] of path.entries()) {
    if (at === null || typeof at !== 'object' || typeof segment === 'symbol') return false;
    if (Array.isArray(at) ? typeof segment !== 'number' || segment > at.length : typeof segment === 'number')
      return false;
    const isLast = index === path.length - 1;
    const next: Json = isLast ? put : (partOf(at, segment) ?? {});
    Object.defineProperty(at, segment, { value: next, writable: true, enumerable: true, configurable: true });
    at = next;
  }
  return true;
}

/** @param path without {@link EVERY} */
export function deleteAt(value: Json, path: readonly Segment[]): void {
  const parent = valueAt(value, path.slice(0, -1));
  const last = path.at(-1);
  if (parent === undefined || parent === null || typeof parent !== 'object') return;
  if (Array.isArray(parent)) {
    if (typeof last === 'number' && last < parent.length) parent.splice(last, 1);
  } else if (typeof last === 'string') {
    Reflect.deleteProperty(parent, last);
  }
}

function partOf(value: Json, segment: Segment): Json | undefined {
  if (value === null || typeof value !== 'object' || typeof segment === 'symbol') return undefined;
  if (Array.isArray(value)) return typeof segment === 'number' ? value[segment] : undefined;
  return typeof segment === 'string' && Object.hasOwn(value, segment) ? value[segment] : undefined;
}
