const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * The warnings of an end whose time has come, the earliest first. They stay due once it is past: what was told is for
 * whoever tells to keep.
 *
 * @param warningDays days before the end at which somebody is warned, the most first
 * @param endsAtMs unix milliseconds
 * @param nowMs unix milliseconds
 */
export function dueWarnings<Days extends number>(
  warningDays: readonly Days[],
  endsAtMs: number,
  nowMs: number,
): Days[] {
  return warningDays.filter((days) => endsAtMs - nowMs <= days * DAY_MS);
}

/**
 * Milliseconds until there is something to tell, 0 when there is now; null when all was told.
 *
 * @param warnedDays the latest warning that was told; null for none
 */
export function nextWarningInMs(
  warningDays: readonly number[],
  endsAtMs: number,
  warnedDays: number | null,
  nowMs: number,
): number | null {
  const next = warningDays.find((days) => warnedDays === null || days < warnedDays);
  return next === undefined ? null : Math.max(0, endsAtMs - next * DAY_MS - nowMs);
}
