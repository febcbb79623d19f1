import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { fromId, uuidV7 } from '../../src/common/ids.js';
import { LANES } from '../../src/common/lane.js';
import type { EndpointShown } from '../../src/endpoints/endpoints.schema.js';
import type { Published } from '../../src/events/events.schema.js';
import type { NotificationShown } from '../../src/notifications/notifications.schema.js';
import { ENDLESS, OVER_100, THOUSANDS } from '../support/filters.js';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

interface ProblemBody {
  code: string;
  errors: { pointer: string; detail: string }[];
}

describe.each(LANES)('filters in the lane %s', (lane) => {
  let system: System;
  let account: Account;
  let receiver: Receiver;

  beforeAll(async () => {
    system = await System.start({ env: { POSTHORN_LANE: lane } });
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    receiver = await Receiver.start();
  });
  afterEach(() => receiver.stop());

  const endpoint = (filter: unknown, path = '', more: Record<string, unknown> = {}) =>
    account.endpoint({ url: `${receiver.url}${path}`, filter, ...more });
  const change = (id: string, body: Record<string, unknown>) =>
    system.ok<EndpointShown>('PATCH', `${account.path}/endpoints/${id}`, body);
  /** The paths at which an event has been received, once as many as are expected have come. */
  const arrived = async (event: Published, count: number) => {
    const own = () => receiver.received.filter(({ headers }) => headers['webhook-id'] === event.id);
    await until(
      () => Promise.resolve(own().length),
      (got) => got >= count,
    );
    return own()
      .map(({ path }) => path.replace('/hook', ''))
      .sort();
  };
  const made = async (event: { id: string }) =>
    (await account.deliveries(`eventId=${event.id}`)).map(({ endpointId }) => endpointId).sort();

  it('sends an event to those endpoints whose filter it matches, and to those without one', async () => {
    const all = await endpoint(null, '/all');
    const large = await endpoint(OVER_100, '/large');
    await endpoint({ data: { amount: { $lte: 100 } } }, '/small');
    const vip = await endpoint(
      { tags: 'vip', $or: [{ priority: 'high' }, { type: 'invoice.paid' }] },
      '/vip',
    );
    const event = await account.publish({ data: { amount: 150 }, tags: ['new', 'vip'] });
    expect(event.matched).toBe(3);
    expect(await arrived(event, 3)).toEqual(['/all', '/large', '/vip']);
    expect(await made(event)).toEqual([all.id, large.id, vip.id].sort());
    expect(await system.ok('GET', `${account.path}/events/${event.id}`)).toMatchObject({ matched: 3 });
  });

  it('keeps an event that no filter matches', async () => {
    await endpoint(OVER_100);
    const event = await account.publish({ data: { amount: 1 } });
    expect(event.matched).toBe(0);
    expect(await made(event)).toEqual([]);
    expect(await system.ok('GET', `${account.path}/events/${event.id}`)).toMatchObject({ matched: 0 });
  });

  it('asks the filter only of events of the types that the endpoint takes', async () => {
    await endpoint(OVER_100, '/github', { eventTypes: ['github.*'] });
    await endpoint({ data: { amount: 150 } }, '/paid', { eventTypes: ['invoice.paid', 'invoice.*'] });
    const paid = await account.publish({ data: { amount: 150 } });
    const push = await account.publish({ type: 'github.push', data: { amount: 150 } });
    expect([paid.matched, push.matched]).toEqual([1, 1]);
    expect(await arrived(paid, 1)).toEqual(['/paid']);
    expect(await arrived(push, 1)).toEqual(['/github']);
  });

  it('takes the dialects of CloudEvents subscriptions, and CEL', async () => {
    await endpoint([{ prefix: { type: 'invoice.' } }, { not: { exact: { 'data.country': 'US' } } }], '/ce');
    await endpoint({ cel: 'event.data.items.exists(i, i.price > 10) && "vip" in event.tags' }, '/cel');
    await endpoint({ type: 'invoice.paid', cel: 'event.data.country == "US"' }, '/both');
    const data = { country: 'CH', items: [{ price: 5 }, { price: 50 }] };
    const swiss = await account.publish({ data, tags: ['vip'] });
    const american = await account.publish({ data: { country: 'US' } });
    expect([swiss.matched, american.matched]).toEqual([2, 1]);
    expect(await arrived(swiss, 2)).toEqual(['/ce', '/cel']);
    expect(await arrived(american, 1)).toEqual(['/both']);
  });

  it('matches every event of a batch for itself, and answers again what was published before', async () => {
    await endpoint(OVER_100, '/large');
    await endpoint(null, '/all');
    const amounts = [50, 150, 100, 500];
    const events = amounts.map((amount) => ({
      type: 'invoice.paid',
      data: { amount },
      externalId: `invoice-${amount}`,
    }));
    const publish = async () =>
      (await system.ok<{ data: Published[] }>('POST', `${account.path}/events/batch`, { events })).data;
    const first = await publish();
    expect(first.map(({ matched }) => matched)).toEqual([1, 2, 1, 2]);
    const again = await publish();
    expect(again).toEqual(first.map((event) => ({ ...event, duplicate: true })));
    const single = await account.publish({ externalId: 'invoice-150', data: { amount: 1 } });
    expect(single).toMatchObject({ id: first[1]?.id, duplicate: true, matched: 2 });
    await receiver.got(6);
    expect(await account.deliveries()).toHaveLength(6);
  });

  it('counts a change of a filter, or of the types, from the next publish on', async () => {
    const { id } = await endpoint(OVER_100);
    const matched = async () => (await account.publish({ data: { amount: 50 } })).matched;
    expect(await matched()).toBe(0);
    expect((await change(id, { filter: { data: { amount: { $lt: 100 } } } })).filter).toEqual({
      data: { amount: { $lt: 100 } },
    });
    expect(await matched()).toBe(1);
    await change(id, { eventTypes: ['invoice.sent'] });
    expect(await matched()).toBe(0);
    await change(id, { eventTypes: null });
    expect(await matched()).toBe(1);
    await change(id, { filter: OVER_100 });
    expect(await matched()).toBe(0);
    expect((await change(id, { filter: null })).filter).toBeNull();
    expect(await matched()).toBe(1);
    await change(id, { filter: { data: 1 } });
    expect(await matched()).toBe(0);
    await system.ok('DELETE', `${account.path}/endpoints/${id}`);
    await endpoint({ data: { amount: 50 } });
    expect(await matched()).toBe(1);
  });

  it('makes a failed delivery where a filter fails, which can be sent, and keeps no other endpoint', async () => {
    const endless = await endpoint(ENDLESS, '/endless');
    const wrong = await endpoint({ cel: 'event.data.name > 5' }, '/wrong');
    const costly = await endpoint({ data: { list: { $startsWith: 'a' } } }, '/costly');
    await endpoint({ cel: 'event.data.missing == 5' }, '/missing');
    await endpoint({ cel: 'event.data.name == "n"' }, '/fine');
    await endpoint(null, '/all');
    const event = await account.publish({ data: { name: 'n', list: THOUSANDS } });
    expect(event.matched).toBe(2);
    expect(await arrived(event, 2)).toEqual(['/all', '/fine']);
    const failed = await account.deliveries(`eventId=${event.id}&status=failed`);
    expect(failed.map(({ endpointId }) => endpointId).sort()).toEqual(
      [endless.id, wrong.id, costly.id].sort(),
    );
    for (const delivery of failed)
      expect(delivery).toMatchObject({
        statusReason: 'filter_error',
        attemptCount: 0,
        nextAttemptAt: null,
        completedAt: expect.any(String),
      });

    await change(wrong.id, { filter: { cel: 'event.data.name == "n"' } });
    const delivery = failed.find(({ endpointId }) => endpointId === wrong.id);
    await system.ok('POST', `${account.path}/deliveries/${delivery?.id}/retry`);
    expect(await arrived(event, 3)).toEqual(['/all', '/fine', '/wrong']);
    await account.deliveryOf(event, ({ status }) => status === 'delivered', wrong);
  });

  it('tells the owner of a filter that fails, once', async () => {
    const notices = async () =>
      (await system.ok<{ data: NotificationShown[] }>('GET', `${account.path}/notifications`)).data;
    const wrong = await endpoint({ cel: 'event.data.name > 5' }, '/wrong');
    for (let count = 0; count < 3; count += 1) await account.publish({ data: { name: 'n' } });
    const told = {
      kind: 'endpoint.filter_failing',
      endpointId: wrong.id,
      data: { lastError: 'filter_error' },
    };
    expect(await until(notices, ({ length }) => length > 0)).toMatchObject([told]);
    // An hour later it is news again.
    await system.sql(`UPDATE endpoints SET filter_warned_at = now() - interval '61 minutes' WHERE id = $1`, [
      fromId('endpoint', wrong.id),
    ]);
    await account.publish({ data: { name: 'n' } });
    expect(await until(notices, ({ length }) => length > 1)).toMatchObject([told, told]);
  });

  it('leaves the delivery of a paused endpoint held and of a disabled one skipped', async () => {
    const paused = await endpoint(OVER_100, '', { paused: true });
    const disabled = await endpoint(OVER_100);
    const broken = await endpoint({ cel: 'event.data.amount > "1"' });
    const both = [fromId('endpoint', disabled.id), fromId('endpoint', broken.id)];
    await system.sql(`UPDATE endpoints SET disabled_reason = 'gone' WHERE id = ANY ($1::uuid[])`, [both]);
    const event = await account.publish({ data: { amount: 150 } });
    const statusOf = async (to: { id: string }) => (await account.deliveryOf(event, () => true, to)).status;
    expect([await statusOf(paused), await statusOf(disabled), await statusOf(broken)]).toEqual([
      'held',
      'skipped',
      'skipped',
    ]);
    expect((await account.publish({ data: { amount: 1 } })).matched).toBe(0);
  });

  it('holds for an event that matches more endpoints than one commit makes deliveries for', async () => {
    const endpoints = Array.from({ length: 4_500 }, () => uuidV7(Date.now())).sort();
    // Every third without a filter, every third takes it, every third leaves it, and one is broken.
    const filters = endpoints.map((_, index) =>
      index % 3 === 0 ? null : JSON.stringify({ data: { amount: index % 3 === 1 ? 150 : 1 } }),
    );
    filters[4] = JSON.stringify({ cel: 'event.data.amount > "1"' });
    await system.sql(
      `INSERT INTO endpoints (id, account_id, url, timeout_ms, retry_schedule, filter, paused)
        SELECT e.id, $2, $3, 15000, '[]', e.filter, true FROM unnest($1::uuid[], $4::json[]) AS e (id, filter)`,
      [endpoints, fromId('account', account.id), receiver.url, filters],
    );
    const event = await account.publish({ data: { amount: 150 } });
    expect(event.matched).toBe(2_999);
    const made = async () => {
      const [row] = await system.sql<{ held: number; failed: number; left: number; owed: number }>(
        `SELECT (count(*) FILTER (WHERE d.status = 'held'))::int AS held,
           (count(*) FILTER (WHERE d.status = 'failed' AND d.status_reason = 'filter_error'))::int AS failed,
           (count(*) FILTER (WHERE e.filter #>> '{data,amount}' = '1'))::int AS left,
           (SELECT count(*)::int FROM fanouts) AS owed
          FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id WHERE d.event_id = $1`,
        [fromId('event', event.id)],
      );
      return row;
    };
    expect(await until(made, (row) => row?.owed === 0)).toEqual({ held: 2_999, failed: 1, left: 0, owed: 0 });
  });
});

describe('filters', () => {
  let system: System;
  let account: Account;

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
  });

  const paused = (filter: unknown) =>
    account.endpoint({ url: 'http://127.0.0.1:4433/', paused: true, filter });
  const create = (filter: unknown) =>
    system.call<ProblemBody>('POST', `${account.path}/endpoints`, {
      url: 'http://127.0.0.1:4433/',
      paused: true,
      filter,
    });

  it('that were changed through another process count for the very next publish', async () => {
    const other = await System.start({ like: system });
    try {
      const { id } = await paused({ data: { step: 0 } });
      for (let step = 0; step < 20; step += 1) {
        const [changing, publishing] = step % 2 === 0 ? [system, other] : [other, system];
        await changing.ok('PATCH', `${account.path}/endpoints/${id}`, { filter: { data: { step } } });
        const publish = (value: number) =>
          publishing.ok<Published>('POST', `${account.path}/events`, {
            type: 'invoice.paid',
            data: { step: value },
          });
        const events = [await publish(step), await publish(step - 1), await publish(step)];
        expect([step, ...events.map(({ matched }) => matched)]).toEqual([step, 1, 0, 1]);
      }
    } finally {
      await other.stop();
    }
  });

  it('that change all the time lose no event and let none through', async () => {
    const { id } = await paused({ data: { amount: { $gte: 0 } } });
    const work = { isDone: false };
    const changes = (async () => {
      for (let floor = -1; !work.isDone; floor -= 1)
        await system.ok('PATCH', `${account.path}/endpoints/${id}`, {
          filter: { data: { amount: { $gte: floor } } },
        });
    })();
    const publish = (amount: number) => account.publish({ data: { amount } });
    const events = await Promise.all(Array.from({ length: 100 }, (_, index) => publish(index)));
    work.isDone = true;
    await changes;
    expect(events.map(({ matched }) => matched)).toEqual(events.map(() => 1));
    expect(await account.deliveries()).toHaveLength(100);
  });

  it('that change faster than many events can be matched wait for them in the end', async () => {
    const endpoints = await Promise.all(
      Array.from({ length: 4 }, () => paused({ data: { amount: { $gte: 0 } } })),
    );
    const work = { isDone: false };
    const changes = endpoints.map(async ({ id }) => {
      for (let floor = -1; !work.isDone; floor -= 1)
        await system.ok('PATCH', `${account.path}/endpoints/${id}`, {
          filter: { data: { amount: { $gte: floor } } },
        });
    });
    const events = Array.from({ length: 1_000 }, (_, amount) => ({ type: 'a', data: { amount } }));
    const { data } = await system.ok<{ data: Published[] }>('POST', `${account.path}/events/batch`, {
      events,
    });
    work.isDone = true;
    await Promise.all(changes);
    expect(new Set(data.map(({ matched }) => matched))).toEqual(new Set([4]));
  });

  it('are shown as they were given, and what changed of them is in the audit log', async () => {
    const filter = { data: { 'a.b': { $in: [1, '2', null] } }, $not: { tags: ['x', 'y'] } };
    const { id } = await paused(filter);
    expect(await system.ok('GET', `${account.path}/endpoints/${id}`)).toMatchObject({ filter });
    await system.ok('PATCH', `${account.path}/endpoints/${id}`, { filter: null });
    const { data } = await system.ok<{ data: { changes: Record<string, unknown> }[] }>(
      'GET',
      `${account.path}/audit-log?resourceId=${id}`,
    );
    expect(data[0]?.changes).toMatchObject({ filter: { from: filter, to: null } });
  });

  it.each([
    ['an unknown field', { name: 'x' }, '/filter/name'],
    ['an unknown operator', { data: { a: { $regex: 'a+' } } }, '/filter/data/a/$regex'],
    ['an operand of the wrong kind', { data: { a: [{ $gt: true }] } }, '/filter/data/a/0/$gt'],
    ['an empty list', { $or: [] }, '/filter/$or'],
    ['nothing', {}, '/filter'],
    ['a text', 'data.a > 1', '/filter'],
    ['SQL', [{ sql: 'a = 1' }], '/filter/0/sql'],
    ['a name with a slash', { data: { 'a/b~': { $x: 1 } } }, '/filter/data/a~1b~0/$x'],
    ['CEL that cannot be read', { cel: 'event.data.' }, '/filter/cel'],
    ['CEL that is a number', { cel: '1 + 2' }, '/filter/cel'],
    ['a regular expression in CEL', { cel: 'event.type.matches("(a+)+b")' }, '/filter/cel'],
    ['a loop in a loop', { cel: 'event.data.a.all(x, x.b.all(y, y > 1))' }, '/filter/cel'],
  ])('of %s are refused with a pointer', async (_, filter, pointer) => {
    const { status, body } = await create(filter);
    expect([status, body.code, body.errors[0]?.pointer]).toEqual([422, 'validation_failed', pointer]);
  });

  const nested = (levels: number, open: string, close: string) => open.repeat(levels) + close.repeat(levels);
  it.each([
    ['nested 100 levels deep', `{"data":${nested(100, '{"a":', '').slice(0)}1${'}'.repeat(100)}}`],
    ['nested 50,000 levels deep', `{"data":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`],
    ['nested in lists', `{"data":${nested(50_000, '[', ']')}}`],
    ['of 50,000 parts', JSON.stringify({ data: { $in: THOUSANDS } })],
    ['with a text of 200 KB', JSON.stringify({ data: { a: 'x'.repeat(200_000) } })],
    ['of 5,000 faults', JSON.stringify({ $or: Array.from({ length: 5_000 }, () => ({ b: 1 })) })],
    ['of CEL of 50 KB', JSON.stringify({ cel: Array.from({ length: 5_000 }, () => 'true').join(' && ') })],
    ['of CEL nested deep', JSON.stringify({ cel: `${'('.repeat(900)}true${')'.repeat(900)}` })],
  ])('%s are refused', async (_, filter) => {
    const body = `{"url":"http://127.0.0.1:4433/","paused":true,"filter":${filter}}`;
    const answer = await system.call<ProblemBody>('POST', `${account.path}/endpoints`, body);
    expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed']);
    expect(answer.body.errors.length).toBeLessThanOrEqual(50);
  });

  it('look at own members alone', async () => {
    const prototypes = '{"data":{"__proto__":{"admin":true}}}';
    const url = '"url":"http://127.0.0.1:4433/","paused":true';
    await system.ok('POST', `${account.path}/endpoints`, `{${url},"filter":${prototypes}}`);
    await paused({ data: { constructor: { $exist: true } } });
    await paused({ data: { toString: { name: 'toString' } } });
    await paused({ cel: 'has(event.data.constructor)' });
    const publish = (data: string) =>
      system.ok<Published>('POST', `${account.path}/events`, `{"type":"a","data":${data}}`);
    expect((await publish('{"admin":true}')).matched).toBe(0);
    expect((await publish('{"__proto__":{"admin":true}}')).matched).toBe(1);
    expect((await publish('{"constructor":1}')).matched).toBe(2);
    expect((await publish(nested(100, '{"constructor":', '') + '1' + '}'.repeat(100))).matched).toBe(2);
    expect(({} as Record<string, unknown>).admin).toBeUndefined();
  });
});
