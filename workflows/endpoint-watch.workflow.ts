import {
  condition,
  continueAsNew,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { type EndpointWatchActivities, type EndpointWatchInput, lookSignal } from './contracts.js';

const { reviewEndpoint, verifyEndpoint, tendCredentials } = proxyActivities<EndpointWatchActivities>({
  // Longer than any endpoint's deadline (30 s) and what loading and recording take beside it.
  startToCloseTimeout: '60s',
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '30s' },
});

/**
 * Watches over an endpoint from its first failure after a success until it is well again, disabled, or gone: what is due
 * by time alone is due by a timer here. What it comes to is decided by the record.
 */
export async function endpointHealth(input: EndpointWatchInput): Promise<void> {
  if (await watch(() => reviewEndpoint(input), `next look at ${input.endpointId}`))
    await continueAsNew<typeof endpointHealth>(input);
}

/** Asks an endpoint's receiver whether it wants deliveries, again and again for a day. */
export async function endpointVerification(input: EndpointWatchInput): Promise<void> {
  if (await watch(() => verifyEndpoint(input), `next try to verify ${input.endpointId}`))
    await continueAsNew<typeof endpointVerification>(input);
}

/** Waits for the end of an endpoint's earlier secrets, and for the days on which its owner is told of a certificate's. */
export async function endpointCredentials(input: EndpointWatchInput): Promise<void> {
  if (await watch(() => tendCredentials(input), `next end of a credential of ${input.endpointId}`))
    await continueAsNew<typeof endpointCredentials>(input);
}

/** A certificate may end in a hundred years; a timer that long is none. */
const LONGEST_MS = 366 * 24 * 60 * 60 * 1000;

/**
 * @param look says in how many milliseconds it is to be asked again; null ends the watch
 * @returns true when the history has grown too long, and somebody else is to go on
 */
async function watch(look: () => Promise<number | null>, title: string): Promise<boolean> {
  const asked = { look: false };
  setHandler(lookSignal, () => void (asked.look = true), { description: 'Something has changed: look now' });
  for (;;) {
    Object.assign(asked, { look: false });
    const againInMs = await look();
    if (asked.look) continue;
    if (againInMs === null) return false;
    setCurrentDetails(`Looked at again at ${new Date(Date.now() + againInMs).toISOString()}.`);
    await condition(() => asked.look, Math.min(againInMs, LONGEST_MS), { summary: title });
    if (workflowInfo().continueAsNewSuggested) return true;
  }
}
