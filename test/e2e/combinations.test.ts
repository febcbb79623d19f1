import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { CloudEvent, HTTP } from 'cloudevents';
import { Webhook } from 'standardwebhooks';
import { fromId } from '../../src/common/ids.js';
import { FORMATS, type FormatName, PAYLOADS, type Payload } from '../../src/messages/message.js';
import { type Received, Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

interface Combination {
  filtered: boolean;
  transformed: boolean;
  /** Whether it gets the version before the one that is published. */
  pinned: boolean;
  enriched: boolean;
  format: FormatName;
  payload: Payload;
  batched: boolean;
}

const YES_NO = [false, true];
const COMBINATIONS: Combination[] = YES_NO.flatMap((filtered) =>
  YES_NO.flatMap((transformed) =>
    YES_NO.flatMap((pinned) =>
      FORMATS.flatMap((format) =>
        PAYLOADS.flatMap((payload) =>
          // What a transformation makes of it is tested where lookups are.
          (pinned && !transformed ? YES_NO : [false]).flatMap((enriched) =>
            (format === 'cloudevents-binary' ? [false] : YES_NO).map((batched) => ({
              filtered,
              transformed,
              pinned,
              enriched,
              format,
              payload,
              batched,
            })),
          ),
        ),
      ),
    ),
  ),
);
const TYPE = 'combined.event';
const LINK = /^\/v1\/accounts\/acc_\w+\/events\/evt_\w+$/;
const CONVERTED_LINK = /^\/v1\/accounts\/acc_\w+\/events\/evt_\w+\?version=1$/;
const CODE = `function transform(event) {
  return { body: { shaped: event.data.amount }, headers: { 'x-shaped': event.type } };
}`;

/** What is sent, or the first of an array. */
function firstIn(body: string): Record<string, unknown> {
  const json = JSON.parse(body) as Record<string, unknown> | [Record<string, unknown>];
  return Array.isArray(json) ? json[0] : json;
}

describe('what endpoints ask for together', () => {
  let system: System;
  let account: Account;
  let receiver: Receiver;
  let service: Receiver;

  beforeAll(async () => {
    system = await System.start();
    service = await Receiver.start((response) => response.end('{"name":"Acme"}'));
    await system.ok('POST', '/lookups', { name: 'crm', url: `${service.url}/{{ event.data.amount }}` });
    await system.ok('PUT', `/event-types/${TYPE}`, {
      versions: [{ version: '1', deprecatedAt: '2026-01-01T00:00:00.000Z' }, { version: '2' }],
    });
    await system.ok('PUT', `/event-types/${TYPE}/conversions/2/1`, {
      transformation: {
        kind: 'javascript',
        code: 'const convert = ({ amount }) => ({ amount: amount + 0.5 })',
      },
      tests: [{ data: { amount: 1 }, expected: { amount: 1.5 } }],
    });
  });
  afterAll(() => Promise.all([system.stop(), service.stop()]));
  beforeEach(async () => {
    account = await system.account();
    receiver = await Receiver.start();
  });
  afterEach(() => receiver.stop());

  const endpointFor = async (combination: Combination, lane: string, path: string) => {
    const { filtered, transformed, pinned, enriched, format, payload, batched } = combination;
    const endpoint = await account.endpoint({
      url: new URL(path, receiver.url).href,
      lane,
      format,
      payload,
      ...(batched ? { batch: { maxEvents: 1 } } : {}),
      ...(filtered ? { filter: { data: { amount: { $gt: 100 } } } } : {}),
      ...(enriched ? { lookups: ['crm'] } : {}),
      ...(pinned ? { eventTypes: [TYPE], eventVersions: { [TYPE]: '1' } } : {}),
    });
    if (transformed) {
      await system.ok('PUT', `${account.path}/endpoints/${endpoint.id}/transformation`, {
        kind: 'javascript',
        code: CODE,
      });
    }
    return endpoint;
  };

  /** What a receiver reads as the payload. */
  const dataIn = ({ format, transformed, batched }: Combination, { headers, body }: Received): unknown => {
    if (format === 'posthorn') {
      const json = JSON.parse(body) as { data: unknown } | [{ data: unknown }];
      const one = Array.isArray(json) ? json[0] : json;
      expect(Array.isArray(json)).toBe(batched);
      return transformed ? one : one.data;
    }
    const read = HTTP.toEvent({ headers, body }) as CloudEvent | [CloudEvent];
    expect(Array.isArray(read)).toBe(batched || format === 'cloudevents-batch');
    return (Array.isArray(read) ? read[0] : read).data;
  };

  /** What a receiver reads of a thin event. */
  const thinIn = ({ format }: Combination, { headers, body }: Received) => {
    if (format === 'cloudevents-binary')
      return { version: headers['ce-posthornversion'], link: headers['ce-dataref'] };
    const json = firstIn(body);
    return format === 'posthorn'
      ? { version: json.version, link: json.url }
      : { version: json.posthornversion, link: json.dataref };
  };

  const contextIn = ({ format }: Combination, { headers, body }: Received): unknown => {
    if (format === 'cloudevents-binary') {
      const header = headers['ce-posthorncontext'];
      return header === undefined ? undefined : JSON.parse(decodeURIComponent(String(header)));
    }
    const json = firstIn(body);
    if (format === 'posthorn') return json.context;
    return typeof json.posthorncontext === 'string' ? JSON.parse(json.posthorncontext) : undefined;
  };

  it.each(['durable', 'express'])(
    'gives each of them what it asks for, signed, in the lane %s',
    async (lane) => {
      const endpoints = await Promise.all(
        COMBINATIONS.map((combination, index) => endpointFor(combination, lane, `/${index}`)),
      );
      const publish = (amount: number) => account.publish({ type: TYPE, version: '2', data: { amount } });
      const all = await publish(150);
      expect(all.matched).toBe(COMBINATIONS.length);
      const some = await publish(50);
      expect(some.matched).toBe(COMBINATIONS.length / 2);
      await until(
        () =>
          system.sql(
            "SELECT FROM deliveries WHERE status = 'delivered' AND id <> event_id AND account_id = $1",
            [fromId('account', account.id)],
          ),
        (delivered) => delivered.length === 1.5 * COMBINATIONS.length,
        60_000,
      );
      for (const [index, combination] of COMBINATIONS.entries()) {
        const got = receiver.received.filter(({ path }) => path === `/${index}`);
        // The filter saw what was published.
        const published = combination.filtered ? [150] : [50, 150];
        expect([combination, got.length]).toEqual([combination, published.length]);
        const amounts = published.map((amount) => (combination.pinned ? amount + 0.5 : amount));
        for (const received of got) {
          const { headers, body } = received;
          new Webhook(endpoints[index]?.signingSecret ?? '').verify(body, headers as Record<string, string>);
          expect(headers['x-shaped']).toBe(
            combination.transformed && !combination.batched ? TYPE : undefined,
          );
          expect(headers.deprecation).toEqual(
            combination.pinned ? expect.stringMatching(/^@\d+$/) : undefined,
          );
        }
        if (combination.payload === 'thin') {
          const link = combination.pinned ? CONVERTED_LINK : LINK;
          for (const received of got)
            expect([combination, thinIn(combination, received)]).toEqual([
              combination,
              { version: combination.pinned ? '1' : '2', link: expect.stringMatching(link) },
            ]);
          continue;
        }
        const expected = amounts.map((amount) => (combination.transformed ? { shaped: amount } : { amount }));
        const data = got.map((received) => dataIn(combination, received));
        expect([combination, data]).toEqual([combination, expect.arrayContaining(expected)]);
        const context = combination.enriched ? { crm: { name: 'Acme' } } : undefined;
        for (const received of got) expect(contextIn(combination, received)).toEqual(context);
      }
    },
    180_000,
  );
});
