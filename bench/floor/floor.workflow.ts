import { proxyLocalActivities } from '@temporalio/workflow';
import type { FloorActivities } from './floor-activities.js';

const { post } = proxyLocalActivities<FloorActivities>({ startToCloseTimeout: '60s' });

/** The least a durable delivery can be: one workflow, one local activity, one request. */
export async function floor(id: string): Promise<void> {
  await post(id);
}
