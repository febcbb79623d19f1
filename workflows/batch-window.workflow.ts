import {
  condition,
  continueAsNew,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { type BatchActivities, type BatchWindowInput, lookSignal } from './contracts.js';

const { closeWindow } = proxyActivities<BatchActivities>({
  startToCloseTimeout: '60s',
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '30s' },
});

/**
 * Waits for the end of a window in which events are collected for an endpoint. A window that was full earlier goes on with what
 * was left, and ends later then: the record says when.
 */
export async function batchWindow({ endpointId, windowId, closesInMs }: BatchWindowInput): Promise<void> {
  const asked = { look: false };
  setHandler(lookSignal, () => void (asked.look = true), { description: 'It may be over: look now' });
  for (let waitMs: number | null = closesInMs; waitMs !== null;) {
    setCurrentDetails(`Collects until ${new Date(Date.now() + waitMs).toISOString()}.`);
    await condition(() => asked.look, waitMs, { summary: `collects for ${endpointId}` });
    asked.look = false;
    waitMs = await closeWindow({ endpointId, windowId });
    if (waitMs !== null && workflowInfo().continueAsNewSuggested)
      await continueAsNew<typeof batchWindow>({ endpointId, windowId, closesInMs: waitMs });
  }
}
