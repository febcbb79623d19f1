import type { BatchCollector } from '../src/batches/batch-collector.js';
import type { BatchActivities } from '../workflows/contracts.js';

/** Idempotent: a window that is closed has nothing left to send. */
export const createBatchActivities = (collector: BatchCollector): BatchActivities => ({
  closeWindow: ({ endpointId, windowId }) => collector.closeById(endpointId, windowId),
});
