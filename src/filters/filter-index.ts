import { OPERATIONAL_PREFIX } from '../common/schemas.js';
import { type Filter, typesOf } from './condition.js';

/** An endpoint that has a filter, or had one. */
export interface FilteredEndpoint {
  id: string;
  /** Its place in the bits of {@link Verdict}. */
  slot: number;
  /** Null: every type. */
  eventTypes: readonly string[] | null;
  /** Null: takes every event of its types. `unreadable`: one that this release cannot read. */
  filter: Filter | 'unreadable' | null;
}

/** Remembered for so many types; what more there are is put together anew. */
const MAX_REMEMBERED = 200;

/** The filtered endpoints of an account by the types of events that can be for them. */
export class FilterIndex<Endpoint extends FilteredEndpoint> {
  /** Bytes that have a bit for each of them. */
  readonly bytes: number;
  private readonly exact = new Map<string, Endpoint[]>();
  /** By the prefix with its dot. */
  private readonly prefixes = new Map<string, Endpoint[]>();
  private readonly all: Endpoint[] = [];
  private readonly remembered = new Map<string, readonly Endpoint[]>();

  constructor(endpoints: Iterable<Endpoint>) {
    let slots = 0;
    for (const endpoint of endpoints) {
      slots = Math.max(slots, endpoint.slot + 1);
      this.add(endpoint);
    }
    this.bytes = Math.ceil(slots / 8);
  }

  /** Those that take the type, and whose filter leaves it open or asks for it. */
  candidates(type: string): readonly Endpoint[] {
    const known = this.remembered.get(type);
    if (known) return known;
    const found = new Set([...(this.exact.get(type) ?? []), ...this.all]);
    for (let dot = type.indexOf('.'); dot >= 0; dot = type.indexOf('.', dot + 1))
      for (const endpoint of this.prefixes.get(type.slice(0, dot + 1)) ?? []) found.add(endpoint);
    // Types of our own go to those alone that name them.
    const candidates = type.startsWith(OPERATIONAL_PREFIX) ? [...found].filter(namesTypes) : [...found];
    if (this.remembered.size >= MAX_REMEMBERED) this.remembered.clear();
    this.remembered.set(type, candidates);
    return candidates;
  }

  private add(endpoint: Endpoint): void {
    const asked =
      endpoint.filter === null || endpoint.filter === 'unreadable' ? null : endpoint.filter.condition;
    const types = asked && typesOf(asked);
    if (types) {
      for (const type of types) if (takesType(endpoint.eventTypes, type)) put(this.exact, type, endpoint);
    } else if (endpoint.eventTypes === null) {
      this.all.push(endpoint);
    } else {
      for (const pattern of new Set(endpoint.eventTypes)) {
        if (pattern.endsWith('.*')) put(this.prefixes, pattern.slice(0, -1), endpoint);
        else put(this.exact, pattern, endpoint);
      }
    }
  }
}

const namesTypes = ({ eventTypes }: FilteredEndpoint): boolean => eventTypes !== null;

/** As the publish statement has it: exact names, and prefixes that end in `.*`; without any, all but our own. */
export function takesType(eventTypes: readonly string[] | null, type: string): boolean {
  if (eventTypes === null) return !type.startsWith(OPERATIONAL_PREFIX);
  return eventTypes.some(
    (pattern) => pattern === type || (pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1))),
  );
}

function put<Value>(map: Map<string, Value[]>, key: string, value: Value): void {
  const values = map.get(key);
  if (values) values.push(value);
  else map.set(key, [value]);
}
