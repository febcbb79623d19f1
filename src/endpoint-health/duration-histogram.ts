/** Each bound is so many times the one before: a figure read back is at most a sixth off. */
const RATIO = 1.35;
const FIRST_MS = 5;
/** The last bound is past the longest deadline of an attempt, 30 s; what takes longer counts there. */
const BUCKETS = 31;

/** Milliseconds up to which a duration falls into each bucket, inclusive; the last takes all that is longer. */
export const UPPER_BOUNDS_MS: readonly number[] = Array.from({ length: BUCKETS }, (_, index) =>
  Math.round(FIRST_MS * RATIO ** index),
);

/** How many attempts took how long: counts by the bounds of {@link UPPER_BOUNDS_MS}. */
export type DurationCounts = readonly number[];

/** @param durationMs not negative */
export function bucketOf(durationMs: number): number {
  const index = UPPER_BOUNDS_MS.findIndex((bound) => durationMs <= bound);
  return index === -1 ? BUCKETS - 1 : index;
}

/**
 * The duration that this share of attempts did not exceed.
 *
 * @param share 0 to 1
 * @returns milliseconds, somewhere in the bucket that it falls into; null where nothing was counted
 */
export function quantile(counts: DurationCounts, share: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  const rank = Math.max(1, Math.ceil(share * total));
  let below = 0;
  for (const [index, count] of counts.entries()) {
    if (below + count < rank) {
      below += count;
      continue;
    }
    const lower = index === 0 ? 0 : (UPPER_BOUNDS_MS[index - 1] ?? 0);
    const upper = UPPER_BOUNDS_MS[index] ?? lower;
    return Math.round(lower + ((upper - lower) * (rank - below)) / count);
  }
  return null;
}
