import type pg from 'pg';
import { type FieldError, Problem } from '../common/problems.js';
import { pointerTo } from '../json-schema/pointer.js';
import type { WishedVersions } from './event-types.schema.js';
import { type AfterSunset, newestOf, takes, type VersionLife } from './version-life.js';

/** The version of each event type that an endpoint wants; null where it wants all as they are published. */
export type Pins = Readonly<Record<string, string>> | null;

export interface PinsAsked {
  /** As {@link takes} has them. */
  eventTypes: readonly string[] | null;
  /** Of types that are not named the newest is wanted, unless it was stored before. Null: the newest. */
  wished: WishedVersions | undefined;
  /** Stored before. */
  before: Pins;
}

/**
 * What is to be stored of an endpoint that is made or changed.
 *
 * @throws Problem `validation_failed` for a version that is not registered, or whose sunset has come
 */
export async function pinsFor(client: pg.ClientBase, asked: PinsAsked): Promise<Pins> {
  const { rows } = await client.query<LifeRow>(
    `SELECT type, version, after_sunset, extract(epoch FROM deprecated_at)::float8 * 1000 AS deprecated_at_ms,
       extract(epoch FROM sunset_at)::float8 * 1000 AS sunset_at_ms FROM event_type_versions ORDER BY type, position`,
  );
  const types = new Map<string, VersionLife[]>();
  for (const row of rows) {
    const life = {
      version: row.version,
      deprecatedAtMs: row.deprecated_at_ms,
      sunsetAtMs: row.sunset_at_ms,
      afterSunset: row.after_sunset,
    };
    const known = types.get(row.type);
    if (known) known.push(life);
    else types.set(row.type, [life]);
  }
  return choosePins(types, asked, Date.now());
}

/** @param types versions by event type, the oldest first. @throws Problem as {@link pinsFor} does */
export function choosePins(
  types: ReadonlyMap<string, readonly VersionLife[]>,
  { eventTypes, wished, before }: PinsAsked,
  nowMs: number,
): Pins {
  const pins = new Map(Object.entries(before ?? {}));
  const errors: FieldError[] = [];
  for (const [type, version] of Object.entries(wished ?? {})) {
    const versions = types.get(type) ?? [];
    const life =
      version === null ? newestOf(versions, nowMs) : versions.find((each) => each.version === version);
    const pointer = `/eventVersions${pointerTo(type)}`;
    if (!life) errors.push({ pointer, detail: 'must be a registered version of a registered event type' });
    else if (life.sunsetAtMs !== null && life.sunsetAtMs <= nowMs)
      errors.push({
        pointer,
        detail: `must not be a version that ended ${new Date(life.sunsetAtMs).toISOString()}`,
      });
    else pins.set(type, life.version);
  }
  const [first] = errors;
  if (first) throw new Problem('validation_failed', `${first.pointer}: ${first.detail}`, { errors });
  for (const [type, versions] of types) {
    const newest = newestOf(versions, nowMs);
    if (newest && !pins.has(type) && takes(eventTypes, type)) pins.set(type, newest.version);
  }
  return pins.size === 0 ? null : Object.fromEntries(pins);
}

interface LifeRow {
  type: string;
  version: string;
  after_sunset: AfterSunset;
  deprecated_at_ms: number | null;
  sunset_at_ms: number | null;
}
