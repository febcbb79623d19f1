import { z } from 'zod';
import { pageOf, time } from '../common/schemas.js';

export const NOTIFICATION_KINDS = [
  'endpoint.failing',
  'endpoint.circuit_open',
  'endpoint.disabled',
  'endpoint.recovered',
  'endpoint.reenabled',
  'endpoint.deliveries_failed',
  'endpoint.verification_failed',
  'endpoint.certificate_expiring',
  'event_type.sunset',
  'event_type.conversion_failing',
  'endpoint.filter_failing',
  'endpoint.transform_failing',
  'account.limit_near',
] as const;
export type NotificationKind = (typeof NOTIFICATION_KINDS)[number];

export const notificationShown = z
  .strictObject({
    id: z.string(),
    kind: z.enum(NOTIFICATION_KINDS),
    endpointId: z.string().nullable(),
    data: z.record(z.string(), z.unknown()).describe('The facts, as they were then.'),
    createdAt: time,
  })
  .meta({ id: 'Notification' });
export type NotificationShown = z.output<typeof notificationShown>;
export const notificationPage = pageOf(notificationShown).meta({ id: 'NotificationPage' });
