import { it } from '@jest/globals';
import { isCluster } from './shape.js';

/** A test of what one process alone knows or has; the reason is said where it is used. On a cluster it is skipped. */
export const itInOneProcess = isCluster() ? it.skip : it;
