import type { DispatchItem } from '../../src/dispatch/dispatch-item.js';

/** One that may go either way, and is to go by the engine. */
export const ITEM: DispatchItem = {
  deliveryId: 'd',
  accountId: 'a',
  eventId: 'v',
  endpointId: 'e',
  eventType: 'a.b',
  url: 'https://example.com/',
  priority: 3,
  express: false,
  auto: true,
};
