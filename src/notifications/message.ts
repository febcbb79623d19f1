import type { NotificationKind } from './notifications.schema.js';

/** What one notification says by e-mail. */
export interface Told {
  /** `ep_…`, null where it is about no endpoint. */
  endpointId: string | null;
  kind: NotificationKind;
  data: Readonly<Record<string, unknown>>;
  createdAt: Date;
}

export interface Message {
  subject: string;
  text: string;
  html: string;
}

const HEADLINES: Record<NotificationKind, string> = {
  'endpoint.failing': 'Deliveries are failing',
  'endpoint.circuit_open': 'Deliveries are held back',
  'endpoint.disabled': 'The endpoint was disabled',
  'endpoint.recovered': 'Deliveries arrive again',
  'endpoint.reenabled': 'The endpoint is enabled again',
  'endpoint.deliveries_failed': 'Deliveries were given up',
  'endpoint.verification_failed': 'The endpoint could not be verified',
  'endpoint.certificate_expiring': 'A certificate ends soon',
  'event_type.sunset': 'A version of an event type ends',
  'event_type.conversion_failing': 'A conversion between versions fails',
  'endpoint.filter_failing': 'The filter fails',
  'endpoint.transform_failing': 'The transformation fails',
  'account.limit_near': 'A limit of the plan is near',
};

const NEXT_STEPS: Record<NotificationKind, string> = {
  'endpoint.failing': 'Retries go on. Look at the latest error, and mend the receiver.',
  'endpoint.circuit_open':
    'Nothing is lost: one delivery is tried now and then, and all that wait follow once one of them arrives.',
  'endpoint.disabled':
    'Events for it are kept as skipped. Once the receiver works, set its status to active and retry what was skipped.',
  'endpoint.recovered': 'What was held back is being delivered now.',
  'endpoint.reenabled': 'Its receiver has answered a ping. Retry what was skipped while it was disabled.',
  'endpoint.deliveries_failed': 'Retry them once the receiver works.',
  'endpoint.verification_failed': 'Its deliveries are held. Mend the receiver, then have it verified again.',
  'endpoint.certificate_expiring': 'Give the endpoint a new one before that: deliveries fail from then on.',
  'event_type.sunset':
    'Have the receiver take a newer version, then change the version in `eventVersions` of the endpoint.',
  'event_type.conversion_failing':
    'Nothing was sent to those who pin the version. Mend the conversion in the event catalogue: what waits is then tried at once.',
  'endpoint.filter_failing':
    'What it failed on is not sent: it is in the log as failed. Mend the filter, then retry that.',
  'endpoint.transform_failing':
    'Nothing was sent. Look at the latest attempt and mend the transformation: what waits is then tried at once.',
  'account.limit_near': 'What goes beyond the limit is refused. Ask for another plan if more is needed.',
};

/** The facts that people read, in this order, and what they are called. */
const FACTS: readonly [name: string, label: string][] = [
  ['endpointOrigin', 'Receiver'],
  ['reason', 'Reason'],
  ['count', 'Deliveries given up'],
  ['failingSince', 'No success since'],
  ['consecutiveFailures', 'Failures in a row'],
  ['lastError', 'Last error'],
  ['certificateExpiresAt', 'Certificate ends'],
  ['eventType', 'Event type'],
  ['version', 'Version'],
  ['fromVersion', 'From version'],
  ['toVersion', 'To version'],
  ['sunsetAt', 'Ends'],
  ['limit', 'Limit'],
  ['plan', 'Plan'],
  ['used', 'Used'],
  ['allowed', 'Allowed'],
];

/** One message of everything that an account is told at once, the oldest first. @param told at least one */
export function compose(accountName: string, told: readonly Told[]): Message {
  const [first] = told;
  if (!first) throw new Error('there is nothing to be told');
  const subject =
    told.length === 1
      ? `${HEADLINES[first.kind]}: ${first.endpointId ?? accountName}`
      : `${told.length} notices about the endpoints of ${accountName}`;
  const parts = told.map(({ kind, endpointId, data, createdAt }) => ({
    headline: HEADLINES[kind],
    next: NEXT_STEPS[kind],
    facts: [
      ...(endpointId === null ? [] : [['Endpoint', endpointId] as const]),
      ['Time', createdAt.toISOString()] as const,
      ...FACTS.flatMap(([name, label]) => {
        const value = data[name];
        return typeof value === 'string' || typeof value === 'number'
          ? [[label, String(value)] as const]
          : [];
      }),
    ],
  }));
  return {
    subject: subject.replace(/[\r\n]+/g, ' '),
    text: parts
      .map(({ headline, facts, next }) =>
        [headline, '', ...facts.map(([label, value]) => `${label}: ${value}`), '', next].join('\n'),
      )
      .join('\n\n----\n\n'),
    html: parts
      .map(
        ({ headline, facts, next }) =>
          `<h2>${escape(headline)}</h2><table>${facts
            .map(
              ([label, value]) => `<tr><th align="left">${escape(label)}</th><td>${escape(value)}</td></tr>`,
            )
            .join('')}</table><p>${escape(next)}</p>`,
      )
      .join('<hr>'),
  };
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escape = (text: string): string => text.replace(/[&<>"']/g, (letter) => ENTITIES[letter] ?? letter);
