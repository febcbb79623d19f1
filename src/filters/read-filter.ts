import { checkCel } from './cel.js';
import type { Filter } from './condition.js';
import { readDialects, speaksDialects } from './dialect-filter.js';
import { readEventCondition } from './json-filter.js';
import { MAX_CEL_CHARACTERS } from './limits.js';
import { type Fault, isObject, Reading } from './reading.js';

/**
 * Reads a filter as the API takes it: JSON operators, `cel` beside them, or the CloudEvents dialects. It costs no more than
 * the limits allow, however much there is of it.
 */
export function readFilter(json: unknown): { filter: Filter } | { faults: readonly Fault[] } {
  const reading = new Reading();
  const filter = reading.run(() => read(reading, json));
  return filter ? { filter } : { faults: reading.faults };
}

function read(reading: Reading, json: unknown): Filter {
  if (speaksDialects(json)) return { condition: readDialects(reading, [], json), cel: null };
  if (!isObject(json) || !Object.hasOwn(json, 'cel'))
    return { condition: readEventCondition(reading, [], json), cel: null };
  const { cel, ...others } = json;
  const condition = Object.keys(others).length === 0 ? null : readEventCondition(reading, [], others);
  return { condition, cel: readCel(reading, cel) };
}

function readCel(reading: Reading, cel: unknown): string {
  const path = ['cel'];
  if (typeof cel !== 'string') reading.fault(path, 'must be a CEL expression');
  else if (cel.length > MAX_CEL_CHARACTERS)
    reading.fault(path, `must not have more than ${MAX_CEL_CHARACTERS} characters`);
  else {
    const fault = checkCel(cel);
    if (fault !== null) reading.fault(path, fault);
  }
  return String(cel);
}

/** A filter that was stored by another release, which took what this one does not. */
export class UnreadableFilter extends Error {
  constructor(faults: readonly Fault[]) {
    super(`the filter cannot be read: ${faults[0]?.detail ?? 'set it again'}`);
    this.name = 'UnreadableFilter';
  }
}

/** Reads a filter that was checked when it was stored. @throws UnreadableFilter */
export function storedFilter(json: unknown): Filter {
  const read = readFilter(json);
  if ('filter' in read) return read.filter;
  throw new UnreadableFilter(read.faults);
}
