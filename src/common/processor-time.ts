import { readFileSync, readlinkSync } from 'node:fs';

/** The calling thread as the system knows it; null where the system does not tell. */
export function ownThread(): number | null {
  try {
    return Number(readlinkSync('/proc/thread-self').split('/').at(-1));
  } catch {
    return null;
  }
}

/**
 * Milliseconds for which a thread of this process has had a processor. On a machine that is busy it is much less than what
 * the clock says, and only this is what the thread has taken from others.
 *
 * @returns null where the system does not tell (it is Linux that does: schedstat)
 */
export function processorMs(thread: number | null): number | null {
  if (thread === null) return null;
  try {
    return Number(readFileSync(`/proc/self/task/${thread}/schedstat`, 'latin1').split(' ')[0]) / 1e6;
  } catch {
    return null;
  }
}

/** Counts from now on: processor time where it is known, else the clock. Unsure for as long as the clock is before `ms`. */
export function spentSince(thread: number | null): (ms: number) => boolean {
  const startedAt = performance.now();
  const before = processorMs(thread);
  return (ms) => {
    if (performance.now() - startedAt < ms) return false;
    const now = before === null ? null : processorMs(thread);
    return now === null || before === null || now - before >= ms;
  };
}
