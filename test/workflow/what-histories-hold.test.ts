import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { TransportResult } from '../../src/transport/types.js';
import type { HistoryEvent } from './delivery-runner.js';
import { MARKED, playedActivities, response } from './played-activities.js';
import { TimeSkipping } from './time-skipping.js';

let world: TimeSkipping;
beforeAll(async () => {
  world = await TimeSkipping.start();
});
afterAll(() => world.close());

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

const activities = (sent: string[]) => playedActivities({ answers: ANSWERS, sent, faultyLoad: 2 });

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
  for (const request of sent) {
    expect(request).toContain(MARKED.requestHeader);
    expect(request).toContain(MARKED.bearerToken);
  }

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
