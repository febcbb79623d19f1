/**
 * Unix milliseconds as this process counts them from its start: they go on evenly when the system's clock is set, so that
 * nothing that waits here waits an hour longer for it. For moments that do not leave the process; the same in all its
 * threads.
 */
export const steadyMs = (): number => performance.timeOrigin + performance.now();

/** How far the system's clock, which others go by too, is ahead of {@link steadyMs}. */
const aheadMs = (): number => Date.now() - steadyMs();

/** @returns the same moment by the system's clock */
export const toSystemMs = (atMs: number): number => atMs + aheadMs();

/** @param atMs by the system's clock, perhaps of another machine */
export const fromSystemMs = (atMs: number): number => atMs - aheadMs();
