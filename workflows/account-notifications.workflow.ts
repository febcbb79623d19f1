import { condition, continueAsNew, proxyActivities, setHandler, workflowInfo } from '@temporalio/workflow';
import { type AccountNotificationsInput, type NotificationActivities, tellSignal } from './contracts.js';

/** What comes up within this time of a message goes into the next one, all of it. */
const COLLECT_MS = 60_000;

const { sendNotifications } = proxyActivities<NotificationActivities>({
  startToCloseTimeout: '60s',
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '10m' },
});

/** Tells an account what has happened to its endpoints: the first thing at once, what follows in one message a minute. */
export async function accountNotifications(input: AccountNotificationsInput): Promise<void> {
  const asked = { more: false };
  setHandler(tellSignal, () => void (asked.more = true), {
    description: 'There is something new to be told',
  });
  do {
    Object.assign(asked, { more: false });
    await sendNotifications(input);
    await condition(() => false, COLLECT_MS, { summary: 'collecting what comes up' });
    if (asked.more && workflowInfo().continueAsNewSuggested)
      await continueAsNew<typeof accountNotifications>(input);
  } while (asked.more);
}
