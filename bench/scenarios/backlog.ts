import type { EventOptions, Posthorn } from '../posthorn.js';
import type { Target } from '../load/target.js';

const MOST_IN_A_BATCH = 100;

/** How a load generator publishes so many events of an account with as little work as can be. */
export function batchesOf(
  posthorn: Posthorn,
  accountId: string,
  options: EventOptions,
  events: number,
): { target: Target; calls: number } {
  const calls = Math.ceil(events / MOST_IN_A_BATCH);
  return { target: posthorn.batches(accountId, options, Math.ceil(events / calls)), calls };
}
