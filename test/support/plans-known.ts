import { setTimeout as wait } from 'node:timers/promises';
import { isCluster } from './shape.js';

/** A change of a plan counts at once in the process that made it, and within a second in the others of a cluster. */
export async function plansKnown(): Promise<void> {
  if (isCluster()) await wait(1_000);
}
