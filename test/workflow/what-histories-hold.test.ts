import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  createDeliveryActivities,
  type DeliveryActivityDependencies,
} from '../../activities/delivery.activities.js';
import { readSettings } from '../../src/config/settings.js';
import { Attempter } from '../../src/deliveries/attempter.js';
import type { LoadedDelivery } from '../../src/deliveries/loader.js';
import type { TransportResult } from '../../src/transport/types.js';
import type { HistoryEvent } from './delivery-runner.js';
import { TimeSkipping } from './time-skipping.js';

let world: TimeSkipping;
beforeAll(async () => {
  world = await TimeSkipping.start();
});
afterAll(() => world.close());

/** Where each thing that belongs in PostgreSQL alone is marked. */
const MARKED = {
  payload: 'marked-payload',
  url: 'marked-url-token',
  secret: Buffer.from('marked-signing-secret-of-32-byte').toString('base64'),
  requestHeader: 'marked-request-header',
  responseHeader: 'marked-response-header',
  responseBody: 'marked-response-body',
  errorDetail: 'marked-error-detail',
};

const response = (statusCode: number) => ({
  statusCode,
  headers: { 'set-cookie': MARKED.responseHeader, 'retry-after': '30' },
  body: MARKED.responseBody,
  bodyEncoding: 'utf8' as const,
  truncated: false,
});

const ANSWERS: TransportResult[] = [
  { ok: true, durationMs: 12, response: response(503) },
  {
    ok: false,
    durationMs: 12,
    failure: { kind: 'transient', code: 'body_timeout', detail: MARKED.errorDetail, response: response(200) },
  },
  { ok: true, durationMs: 12, response: response(404) },
  { ok: true, durationMs: 12, response: response(200) },
];

/** The activities as they are, over a database and a network that are played. */
function activities(sent: string[]) {
  const answers = ANSWERS.values();
  let loads = 0;
  const played = {
    loader: {
      load: (id: string) => {
        loads += 1;
        return loads === 2 ? Promise.reject(new Error('connection terminated')) : Promise.resolve(loaded(id));
      },
    },
    recorder: { record: () => Promise.resolve() },
    pacer: {
      learn: () => ({}),
      of: () => ({ inOutage: false }),
      admit: () => Promise.resolve({ kind: 'go' }),
      leave: () => undefined,
      quiet: () => undefined,
    },
    metrics: { attempted: () => undefined },
    seals: {
      openSecret: () => `whsec_${MARKED.secret}`,
      openHeaders: () => ({ 'x-api-key': MARKED.requestHeader }),
    },
    transport: {
      send: (request: object) => {
        sent.push(JSON.stringify(request));
        return Promise.resolve(answers.next().value);
      },
    },
  };
  const attempter = new Attempter(
    ...([
      played.loader,
      played.recorder,
      played.pacer,
      played.metrics,
      played.seals,
      played.transport,
      readSettings({}),
    ] as unknown as ConstructorParameters<typeof Attempter>),
  );
  const others = { onAttempt: () => undefined, loader: played.loader, recorder: played.recorder };
  return createDeliveryActivities({ ...others, attempter } as unknown as DeliveryActivityDependencies);
}

const loaded = (id: string): LoadedDelivery => ({
  id,
  status: 'retrying',
  status_reason: null,
  attempt_count: 0,
  next_attempt_at: null,
  event_id: '019a0000-0000-7000-8000-000000000000',
  type: 'invoice.paid',
  occurred_at: new Date(),
  version: '1',
  data: JSON.stringify({ secret: MARKED.payload }),
  endpoint_id: '019a0000-0000-7000-8000-000000000001',
  url: `https://receiver.example/${MARKED.url}`,
  timeout_ms: 15_000,
  retry_schedule: 'default',
  signing: null,
  sealed_headers: null,
  paused: false,
  disabled: false,
  deleted: false,
  express: false,
  lease: null,
  rate_per_second: null,
  rate_burst: null,
  max_in_flight: null,
  quiet_ms: null,
  secret_ids: ['019a0000-0000-7000-8000-000000000002'],
  secrets: [Buffer.alloc(32)],
});

/** Every string in a history, and all bytes as the text that they hold. */
function* textsIn(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (ArrayBuffer.isView(value))
    yield Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString();
  else if (typeof value === 'object' && value !== null)
    for (const held of Object.values(value)) yield* textsIn(held);
}

/** The names of all fields in everything in a history that is JSON. */
function fieldsIn(history: HistoryEvent[]): Set<string> {
  const fields = new Set<string>();
  for (const text of textsIn(history))
    if (text.startsWith('{') || text.startsWith('['))
      JSON.parse(text, (field, held: unknown) => {
        if (field !== '' && !/^\d+$/.test(field)) fields.add(field);
        return held;
      });
  return fields;
}

test('a history holds no payload, secret, header, URL or response, whatever the receiver answers', async () => {
  const sent: string[] = [];
  const delivery = await world.runner.deliverThrough(activities(sent));
  expect(await delivery.result()).toEqual({ status: 'delivered', attempts: 4 });
  expect(sent).toHaveLength(4);
  for (const request of sent) expect(request).toContain(MARKED.requestHeader);

  const history = await delivery.history();
  const text = [...textsIn(history)].join('\n');
  expect(text).toContain('body_timeout');
  expect(text).toContain(delivery.ids.deliveryId);
  for (const marked of Object.values(MARKED)) expect(text).not.toContain(marked);
  expect(text).not.toContain('whsec_');
  expect(text).not.toContain('webhook-signature');
});

test('a history holds nothing but ids, numbers and codes', async () => {
  const delivery = await world.runner.deliverThrough(activities([]));
  await delivery.result();
  const ids = ['deliveryId', 'eventId', 'endpointId'];
  const request = ['number', 'trigger', 'jitter', 'budget', 'attempts', 'shortAttempts', 'shortSinceMs'];
  const attempt = ['attempt', 'startedAtMs', 'durationMs', 'outcome', 'statusCode', 'errorCode'];
  const result = ['kind', 'decision', 'delayMs', 'attemptsMax', 'recorded', 'status'];
  // What the SDK notes about a local activity.
  const marker = [
    'seq',
    'activity_id',
    'activity_type',
    'complete_time',
    'backoff',
    'original_schedule_time',
  ];
  const moment = ['seconds', 'nanos'];
  expect([...fieldsIn(await delivery.history())].sort()).toEqual(
    [...ids, ...request, ...attempt, ...result, ...marker, ...moment].sort(),
  );
});
