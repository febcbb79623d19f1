import { z } from 'zod';
import { PRIORITIES, type Priority } from '../../common/priority.js';
import { eventType, moment } from '../../common/schemas.js';
import { pointerTo, valueAt } from '../../json-schema/pointer.js';
import { isObject, type SchemaObject } from '../../json-schema/schema-rules.js';
import { eventVersion, groupName } from '../event-types.schema.js';
import { AFTER_SUNSET, type AfterSunset } from '../version-life.js';

/** One version of an event type as a document tells of it; what the document does not say is absent. */
export interface Documented {
  /** Into the document, as are the other pointers. */
  pointer: string;
  type: string;
  /** Null: of a type that has no versions. */
  version: string | null;
  description?: string;
  group?: string | null;
  priority?: Priority | null;
  /** Of what is sent. */
  schema?: Placed;
  examples: Placed[];
  life?: { deprecatedAt: string | null; sunsetAt: string | null; afterSunset: AfterSunset };
}

export interface Placed {
  pointer: string;
  value: unknown;
}

/** Part of a document is of no use. */
export class DocumentRefusedError extends Error {
  constructor(
    readonly pointer: string,
    detail: string,
  ) {
    super(detail);
  }
}

/** Extension of an operation or a message, with what the formats have no word for. */
export const EXTENSION = 'x-posthorn';

const extension = z.strictObject({
  type: eventType,
  version: eventVersion.nullable(),
  group: groupName.nullable().optional(),
  priority: z.enum(PRIORITIES).nullable().optional(),
  deprecatedAt: moment.nullable().optional(),
  sunsetAt: moment.nullable().optional(),
  afterSunset: z.enum(AFTER_SUNSET).optional(),
});
export type Extension = z.output<typeof extension>;

/** @throws DocumentRefusedError for one that is not as it is exported. @returns null where there is none */
export function readExtension(pointer: string, value: SchemaObject): Extension | null {
  if (!Object.hasOwn(value, EXTENSION)) return null;
  const parsed = extension.safeParse(value[EXTENSION]);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = (issue?.path ?? []).map((part) => pointerTo(String(part))).join('');
  throw new DocumentRefusedError(`${pointer}/${EXTENSION}${where}`, issue?.message ?? 'is not valid');
}

/** What an extension says, as a {@link Documented} has it. */
export const fromExtension = (given: Extension): Partial<Documented> => ({
  type: given.type,
  version: given.version,
  ...(given.group === undefined ? {} : { group: given.group }),
  ...(given.priority === undefined ? {} : { priority: given.priority }),
  life: {
    deprecatedAt: given.deprecatedAt ?? null,
    sunsetAt: given.sunsetAt ?? null,
    afterSunset: given.afterSunset ?? 'stop',
  },
});

/** The first of these names that an event type may have. @throws DocumentRefusedError where there is none */
export function typeNamed(pointer: string, ...names: unknown[]): string {
  const named = names.find((name) => eventType.safeParse(name).success);
  if (typeof named === 'string') return named;
  throw new DocumentRefusedError(
    pointer,
    'must be named by letters, digits, `_` and `-`, in parts separated by dots',
  );
}

const MAX_HOPS = 16;

/** What is at a place, through references inside of the document. @throws DocumentRefusedError for others */
export function follow(document: unknown, { pointer, value }: Placed): Placed {
  let placed: Placed = { pointer, value };
  for (let hops = 0; isObject(placed.value) && typeof placed.value.$ref === 'string'; hops += 1) {
    const reference = placed.value.$ref;
    const target = reference.startsWith('#') ? valueAt(document, reference.slice(1)) : undefined;
    if (target === undefined || hops === MAX_HOPS)
      throw new DocumentRefusedError(`${pointer}/$ref`, 'must lead to a part of this document');
    placed = { pointer: reference.slice(1), value: target };
  }
  return placed;
}

/** The member of an object, through references; undefined where there is none. */
export function member(document: unknown, { pointer, value }: Placed, name: string): Placed | undefined {
  if (!isObject(value) || !Object.hasOwn(value, name)) return undefined;
  return follow(document, { pointer: pointer + pointerTo(name), value: value[name] });
}

/** Each member of an object or list, not followed. */
export function* members({ pointer, value }: Placed): Generator<Placed & { name: string }> {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, inner] of Object.entries(value))
    yield { name, pointer: pointer + pointerTo(name), value: inner };
}

/** A text that is no longer than a description may be, without what it may not hold. */
export const textOf = (...values: unknown[]): string | undefined =>
  values
    .find((value): value is string => typeof value === 'string' && value !== '')
    ?.toWellFormed()
    .replaceAll(/[\u0000-\u001f\u007f]+/g, ' ')
    .slice(0, 2_000)
    .toWellFormed();
