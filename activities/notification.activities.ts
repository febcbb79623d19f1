import type { Notifier } from '../src/notifications/notifier.js';
import type { NotificationActivities } from '../workflows/contracts.js';

/** Idempotent: each notification is marked before it goes out, and is not sent again. */
export const createNotificationActivities = (notifier: Notifier): NotificationActivities => ({
  sendNotifications: ({ accountId }) => notifier.sendById(accountId),
});
