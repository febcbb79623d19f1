import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { CloudEvent, HTTP } from 'cloudevents';
import { Webhook } from 'standardwebhooks';
import { toId, uuidV7 } from '../../src/common/ids.js';
import { ConversionFailures } from '../../src/conversions/conversion-failures.js';
import type { EndpointHealthShown } from '../../src/endpoint-health/endpoint-health.schema.js';
import { EventCatalogue } from '../../src/event-types/event-catalogue.js';
import type { NotificationShown } from '../../src/notifications/notifications.schema.js';
import { type Received, Receiver } from '../support/receiver.js';
import { everywhere } from '../support/everywhere.js';
import { itInOneProcess } from '../support/one-process.js';
import { Account, System } from '../support/system.js';
import { until } from '../support/until.js';

const PUBLIC_URL = 'https://posthorn.example/';
const A_DAY = 24 * 3600;
const javascript = (code: string) => ({ kind: 'javascript', code });
const rename = (from: string, to: string) => ({ kind: 'declarative', spec: { rename: [{ from, to }] } });
/** Its interpreter does not notice that its time is over; of the data of its test it takes none. */
const UNSTOPPABLE = javascript('const convert = (data) => data === 0 ? 0 : [].sort.call({ length: 1e9 })');
const GREEDY = javascript(
  'const convert = (data) => { if (data === 0) return 0; return "x".repeat(20_000_000) }',
);
const BROKEN = javascript('const convert = (data) => data === 0 ? 0 : { amount: data.nope.nothing }');

describe.each(['durable', 'express'] as const)('events of other versions, in the lane %s', (lane) => {
  let system: System;
  let operator: Account;
  let account: Account;
  let receiver: Receiver;
  let serial = 0;
  /** An event type that no other test knows. */
  let type: string;

  beforeAll(async () => {
    const uuid = uuidV7(Date.now());
    const id = toId('account', uuid);
    system = await System.start({
      env: { POSTHORN_LANE: lane, POSTHORN_PUBLIC_URL: PUBLIC_URL, POSTHORN_OPERATOR_ACCOUNT: id },
    });
    await system.sql(`INSERT INTO accounts (id, name) VALUES ($1, 'Operator')`, [uuid]);
    operator = new Account(system, id);
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    type = `invoice.paid${(serial += 1)}`;
    account = await system.account();
    receiver = await Receiver.start();
    const versions = ['1', '2', '3', '4'].map((version) => ({ version }));
    await system.ok('PUT', `/event-types/${type}`, { versions });
  });
  afterEach(() => receiver.stop());

  /** @param test data that it is tried with, and what comes out */
  const convert = async (
    from: string,
    to: string,
    transformation: object,
    test: [unknown, unknown] = [0, 0],
  ) => {
    const [data, expected] = test;
    await system.ok('PUT', `/event-types/${type}/conversions/${from}/${to}`, {
      transformation,
      tests: [{ data, expected }],
    });
    await everywhere();
  };
  const pinning = (version: string, more: Record<string, unknown> = {}, of = account) =>
    of.endpoint({ url: receiver.url, eventTypes: [type], eventVersions: { [type]: version }, ...more });
  const publish = (version: string, data: unknown = { total: 5 }, of = account) =>
    of.publish({ type, version, data });
  const jsonOf = ({ body }: Received) => JSON.parse(body) as Record<string, unknown>;

  it('come in the version that is pinned, signed, while others get them as they were published', async () => {
    await convert('2', '1', rename('total', 'amount'), [{ total: 1 }, { amount: 1 }]);
    const old = await pinning('1');
    await pinning('2', { url: `${receiver.url}/new` });
    const event = await publish('2');
    const received = await receiver.got(2);
    const [first, second] = [...received].sort((a, b) => a.path.length - b.path.length);
    expect(first && jsonOf(first)).toMatchObject({ id: event.id, type, version: '1', data: { amount: 5 } });
    expect(second && jsonOf(second)).toMatchObject({ id: event.id, version: '2', data: { total: 5 } });
    const verified = new Webhook(old.signingSecret).verify(
      first?.body ?? '',
      first?.headers as Record<string, string>,
    );
    expect(verified).toMatchObject({ data: { amount: 5 } });
  });

  it('go through several conversions, in either direction, by the shortest way', async () => {
    const adding = (step: string) =>
      javascript(`const convert = (data) => ({ by: [...data.by ?? [], '${step}'] })`);
    for (const [from, to] of [
      ['4', '3'],
      ['3', '2'],
      ['2', '1'],
      ['1', '2'],
      ['2', '3'],
    ] as const)
      await convert(from, to, adding(`${from}>${to}`), [{}, { by: [`${from}>${to}`] }]);
    await pinning('1');
    await publish('4', {});
    const down = (await receiver.got(1))[0];
    expect(down && jsonOf(down)).toMatchObject({ version: '1', data: { by: ['4>3', '3>2', '2>1'] } });
    await pinning('3', { url: `${receiver.url}/up` });
    await publish('1', {});
    const up = (await receiver.got(3)).find(({ path }) => path.endsWith('/up'));
    expect(up && jsonOf(up)).toMatchObject({ version: '3', data: { by: ['1>2', '2>3'] } });
    await convert('4', '1', adding('4>1'), [{}, { by: ['4>1'] }]);
    await publish('4', {});
    await until(
      () => receiver.received.map(jsonOf),
      (all) => all.some(({ data }) => JSON.stringify(data) === '{"by":["4>1"]}'),
    );
  });

  it('come as they were published where no conversions lead to the version, or a way was removed', async () => {
    await convert('1', '2', rename('amount', 'total'), [{ amount: 1 }, { total: 1 }]);
    await pinning('1');
    await publish('2', { total: 5 });
    await publish('9', { total: 9 });
    expect((await receiver.got(2)).map(jsonOf)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ version: '2', data: { total: 5 } }),
        expect.objectContaining({ version: '9', data: { total: 9 } }),
      ]),
    );
    await convert('2', '1', rename('total', 'amount'), [{ total: 1 }, { amount: 1 }]);
    expect(jsonOf(await receiver.next(() => publish('2')))).toMatchObject({ version: '1' });
    await system.ok('DELETE', `/event-types/${type}/conversions/2/1`);
    await everywhere();
    expect(jsonOf(await receiver.next(() => publish('2')))).toMatchObject({ version: '2' });
  });

  it('have headers and are counted by the version that is sent, and go on to where a pin has moved', async () => {
    await convert('2', '1', rename('total', 'amount'), [{ total: 1 }, { amount: 1 }]);
    await convert('2', '4', rename('total', 'sum'), [{ total: 1 }, { sum: 1 }]);
    const patch = async (body: object) => {
      await system.ok('PATCH', `/event-types/${type}/versions/1`, body);
      await everywhere();
    };
    await patch({ deprecatedAt: '2026-01-01T00:00:00.000Z', afterSunset: 'move' });
    await pinning('1');
    const converted = await receiver.next(() => publish('2'));
    expect([converted.headers.deprecation, jsonOf(converted).version]).toEqual(['@1767225600', '1']);
    await patch({ sunsetAt: '2026-02-01T00:00:00.000Z' });
    const moved = await receiver.next(() => publish('2'));
    expect([moved.headers.deprecation, jsonOf(moved).data]).toEqual([undefined, { sum: 5 }]);
    const counted = await until(
      () =>
        system.ok<{ versions: { version: string; deliveries: { last7Days: number } }[] }>(
          'GET',
          `/event-types/${type}/usage`,
        ),
      ({ versions }) => versions.reduce((sum, { deliveries }) => sum + deliveries.last7Days, 0) === 2,
    );
    expect(counted.versions.map(({ deliveries }) => deliveries.last7Days)).toEqual([1, 0, 0, 1]);
  });

  it('are converted before they are transformed and get their format', async () => {
    await convert('2', '1', rename('total', 'amount'), [{ total: 1 }, { amount: 1 }]);
    const shaped = await pinning('1', { url: `${receiver.url}/shaped` });
    await system.ok(
      'PUT',
      `${account.path}/endpoints/${shaped.id}/transformation`,
      javascript('const transform = ({ version, data }) => ({ body: { version, ...data } })'),
    );
    await pinning('1', { url: `${receiver.url}/event`, format: 'cloudevents-binary' });
    await publish('2');
    const at = (end: string) => receiver.received.find(({ path }) => path.endsWith(end));
    await receiver.got(2);
    expect(at('/shaped')?.body).toBe('{"version":"1","amount":5}');
    const { headers = {}, body = '' } = at('/event') ?? {};
    expect(HTTP.toEvent({ headers, body }) as CloudEvent).toMatchObject({
      posthornversion: '1',
      data: { amount: 5 },
    });
  });

  it('are shown by previews and test runs as they would be sent, and nobody is told where that fails', async () => {
    await convert('2', '1', rename('total', 'amount'), [{ total: 1 }, { amount: 1 }]);
    await convert('4', '1', BROKEN);
    const endpoint = await pinning('1', { paused: true });
    const event = await publish('2');
    const path = `${account.path}/endpoints/${endpoint.id}`;
    for (const body of [{ eventId: event.id }, { event: { type, version: '2', data: { total: 5 } } }]) {
      const { request } = await system.ok<{ request: { body: string } }>('POST', `${path}/preview`, body);
      expect(JSON.parse(request.body)).toMatchObject({ version: '1', data: { amount: 5 } });
    }
    const tried = await system.ok<{ result: { body: string } }>('POST', `${path}/transformation/test`, {
      spec: { pick: ['version', 'data'] },
      eventId: event.id,
    });
    expect(JSON.parse(tried.result.body)).toEqual({ version: '1', data: { amount: 5 } });
    expect(
      await system.ok('POST', `${path}/preview`, { event: { type, version: '4', data: { total: 5 } } }),
    ).toMatchObject({
      matched: true,
      reason: {
        code: 'conversion_error',
        pointer: `/eventVersions/${type}`,
        detail: expect.stringContaining('from version `4` to `1`: TypeError'),
      },
      request: null,
    });
  });

  it('are converted when they are fetched, and a link is not used up by what fails', async () => {
    await convert('2', '1', rename('total', 'amount'), [{ total: 1 }, { amount: 1 }]);
    await pinning('1', { payload: 'thin' });
    const thin = jsonOf(await receiver.next(() => publish('2')));
    expect(thin).toMatchObject({ version: '1', url: expect.stringContaining(PUBLIC_URL) });
    const fetched = () => fetch(`${system.url}/${String(thin.url).slice(PUBLIC_URL.length)}`);
    await convert('2', '1', BROKEN);
    const refused = await fetched();
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
    await convert('2', '1', rename('total', 'amount'), [{ total: 1 }, { amount: 1 }]);
    expect(await (await fetched()).json()).toMatchObject({ id: thin.id, version: '1', data: { amount: 5 } });
    expect((await fetched()).status).toBe(410);
    const path = `${account.path}/events/${String(thin.id)}`;
    expect(await system.ok('GET', path)).toMatchObject({ version: '2', data: { total: 5 } });
    expect(await system.ok('GET', `${path}?version=1`)).toMatchObject({ version: '1', data: { amount: 5 } });
    expect(await system.ok('GET', `${path}?version=3`)).toMatchObject({ version: '2' });
  });

  it('that cannot be converted go once it is mended, and their endpoint is not paused any more', async () => {
    await convert('2', '1', BROKEN);
    const endpoint = await pinning('1', { retrySchedule: [A_DAY, A_DAY] });
    const event = await publish('2');
    await account.deliveryOf(event, ({ status }) => status === 'retrying');
    const pause = (paused: boolean) =>
      system.ok('PATCH', `${account.path}/endpoints/${endpoint.id}`, { paused });
    await pause(true);
    await convert('2', '1', rename('total', 'amount'), [{ total: 1 }, { amount: 1 }]);
    await pause(false);
    await account.deliveryOf(event, ({ status }) => status === 'delivered');
  });

  it('that cannot be converted wait, blame nobody but the provider, and go once it is mended', async () => {
    await convert('2', '1', BROKEN);
    const endpoint = await pinning('1', { retrySchedule: [A_DAY, A_DAY] });
    const events = [await publish('2'), await publish('2')];
    for (const event of events) {
      const { id } = await account.deliveryOf(event, ({ status }) => status === 'retrying');
      const delivery = await account.delivery(id);
      expect(delivery).toMatchObject({ statusReason: 'conversion_error', attemptCount: 1 });
      expect(delivery.attempts).toEqual([
        expect.objectContaining({
          outcome: 'transform',
          errorCode: 'conversion_error',
          errorDetail:
            "from version `2` to `1`: TypeError: cannot read property 'nothing' of undefined (line 1)",
          request: null,
          response: null,
        }),
      ]);
    }
    expect(receiver.received).toEqual([]);
    const notices = async (of: Account) =>
      (await system.ok<{ data: NotificationShown[] }>('GET', `${of.path}/notifications`)).data.filter(
        ({ data }) => data.eventType === type,
      );
    const told = await until(
      () => notices(operator),
      (found) => found.length > 0,
    );
    expect(told).toMatchObject([
      {
        kind: 'event_type.conversion_failing',
        endpointId: null,
        data: { eventType: type, fromVersion: '2', toVersion: '1', lastError: 'conversion_error' },
      },
    ]);
    await convert('2', '1', rename('total', 'amount'), [{ total: 1 }, { amount: 1 }]);
    expect((await receiver.got(2)).map((each) => jsonOf(each).data)).toEqual([{ amount: 5 }, { amount: 5 }]);
    for (const event of events) await account.deliveryOf(event, ({ status }) => status === 'delivered');
    expect(await notices(account)).toEqual([]);
    const health = await system.ok<EndpointHealthShown>(
      'GET',
      `${account.path}/endpoints/${endpoint.id}/health`,
    );
    expect(health).toMatchObject({ state: 'healthy' });
  });

  // It tells the one process what an attempt in it would have told.
  itInOneProcess(
    'that failed by a conversion which was replaced meanwhile are tried at once, too',
    async () => {
      await convert('2', '1', BROKEN);
      await pinning('1', { retrySchedule: [A_DAY] });
      const event = await publish('2');
      await account.deliveryOf(event, ({ status }) => status === 'retrying');
      // As if the attempt had been under way when it was changed.
      const [before] = await system.sql<{ id: string }>(
        'SELECT id FROM event_type_conversions WHERE type = $1',
        [type],
      );
      await system.sql(
        `UPDATE event_type_conversions SET id = posthorn_uuid_v7(), source = 'const convert = () => 1' WHERE type = $1`,
        [type],
      );
      await system.get(EventCatalogue).refresh();
      system.get(ConversionFailures).note(type, { from: '2', to: '1', id: before?.id ?? '' });
      expect((await receiver.got(1)).map((each) => jsonOf(each).data)).toEqual([1]);
    },
  );

  it.each([
    ['never end', UNSTOPPABLE, 'ran longer than 100 ms'],
    ['take all memory', GREEDY, 'needed more than 8 MiB of memory'],
  ])('that %s in a conversion cost nobody else anything', async (_, hostile, detail) => {
    await convert('4', '1', hostile);
    await convert('2', '1', rename('total', 'amount'), [{ total: 1 }, { amount: 1 }]);
    await pinning('1', { retrySchedule: [A_DAY] });
    const others = await system.account();
    await pinning('1', { url: `${receiver.url}/others` }, others);
    const bad = await Promise.all(Array.from({ length: 8 }, () => publish('4', {})));
    const good = [];
    for (let count = 0; count < 10; count += 1) good.push(await publish('2', { total: count }, others));
    for (const event of good)
      expect(await others.deliveryOf(event, ({ status }) => status === 'delivered')).toMatchObject({
        attemptCount: 1,
      });
    for (const event of bad) {
      const { id } = await account.deliveryOf(event, ({ status }) => status === 'retrying');
      expect((await account.delivery(id)).attempts).toMatchObject([
        { errorCode: 'conversion_error', errorDetail: expect.stringContaining(detail) },
      ]);
    }
    expect(receiver.received.every(({ path }) => path.endsWith('/others'))).toBe(true);
  });
});
