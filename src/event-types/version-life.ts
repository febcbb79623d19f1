export const AFTER_SUNSET = ['stop', 'move'] as const;
export type AfterSunset = (typeof AFTER_SUNSET)[number];

/** How long a version of an event type lasts. */
export interface VersionLife {
  version: string;
  /** Unix milliseconds, as is `sunsetAtMs`. */
  deprecatedAtMs: number | null;
  sunsetAtMs: number | null;
  /** What becomes of endpoints that pin it once its sunset has come. */
  afterSunset: AfterSunset;
}

const isOver = ({ sunsetAtMs }: VersionLife, nowMs: number): boolean =>
  sunsetAtMs !== null && sunsetAtMs <= nowMs;

/** The newest version that goes on; undefined where none does. @param versions the oldest first */
export const newestOf = <Life extends VersionLife>(
  versions: readonly Life[],
  nowMs: number,
): Life | undefined => versions.findLast((life) => !isOver(life, nowMs));

/**
 * Which version an endpoint gets that pins one, at this moment.
 *
 * @param versions of the event type, the oldest first
 * @returns null where deliveries stop: the sunset of the version has come, and there is none to move to, or is not to be
 */
export function pinAt(versions: readonly VersionLife[], pinned: string, nowMs: number): string | null {
  const life = versions.find(({ version }) => version === pinned);
  if (!life || !isOver(life, nowMs)) return pinned;
  return life.afterSunset === 'move' ? (newestOf(versions, nowMs)?.version ?? null) : null;
}

/** `Deprecation` (RFC 9745 §2) and `Sunset` (RFC 8594 §3) of what is sent in this version; undefined where there are none. */
export function lifeHeaders({
  deprecatedAtMs,
  sunsetAtMs,
}: VersionLife): Readonly<Record<string, string>> | undefined {
  if (deprecatedAtMs === null && sunsetAtMs === null) return undefined;
  return {
    ...(deprecatedAtMs === null ? {} : { deprecation: `@${Math.floor(deprecatedAtMs / 1000)}` }),
    ...(sunsetAtMs === null ? {} : { sunset: new Date(sunsetAtMs).toUTCString() }),
  };
}

/** Whether an endpoint takes events of a type. @param patterns exact names, or prefixes that end in `.*`; null: all */
export const takes = (patterns: readonly string[] | null, type: string): boolean =>
  patterns === null ||
  patterns.some((pattern) =>
    pattern.endsWith('.*') ? type.startsWith(pattern.slice(0, -1)) : pattern === type,
  );
