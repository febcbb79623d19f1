import { setTimeout as wait } from 'node:timers/promises';
import { isCluster } from './shape.js';

/** Plans, event types and the like count at once in the process that changes them, and within a second in the others of a cluster. */
export async function everywhere(): Promise<void> {
  if (isCluster()) await wait(1_000);
}
