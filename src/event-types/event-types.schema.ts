import { z } from 'zod';
import { PRIORITIES } from '../common/priority.js';
import { pageOf, time } from '../common/schemas.js';

const priority = z.enum(PRIORITIES).nullable();

export const registerEventTypeBody = z
  .strictObject({
    priority: priority
      .optional()
      .describe(
        'Of deliveries for which neither the event nor the endpoint has one. Null or absent: `normal`.',
      ),
  })
  .meta({ id: 'RegisterEventType' });
export type RegisterEventTypeBody = z.output<typeof registerEventTypeBody>;

export const eventTypeShown = z
  .strictObject({ name: z.string(), priority, createdAt: time, updatedAt: time })
  .meta({ id: 'EventType' });
export type EventTypeShown = z.output<typeof eventTypeShown>;

export const eventTypePage = pageOf(eventTypeShown).meta({ id: 'EventTypePage' });
