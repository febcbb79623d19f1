import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { Webhook } from 'standardwebhooks';
import { fromId, uuidV7 } from '../../src/common/ids.js';
import type { Published } from '../../src/events/events.schema.js';
import type { NewEvent } from '../../src/events/new-event.js';
import { Publisher } from '../../src/events/publisher.js';
import { itInOneProcess } from '../support/one-process.js';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

describe('publishing', () => {
  let system: System;
  let account: Account;
  const receivers: Receiver[] = [];
  const receiver = async () => {
    const started = await Receiver.start();
    receivers.push(started);
    return started;
  };

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  afterEach(async () => {
    await Promise.all(receivers.splice(0).map((each) => each.stop()));
  });

  it('delivers an event signed as the reference library verifies it', async () => {
    account = await system.account();
    const target = await receiver();
    const endpoint = await account.endpoint({ url: target.url, headers: { 'X-Tenant': 'seven' } });
    const event = await account.publish({
      type: 'invoice.paid',
      data: { amount: 100 },
      timestamp: '2026-01-02T03:04:05Z',
    });
    const [request] = await target.got(1);
    const headers = request?.headers as Record<string, string>;
    expect(new Webhook(endpoint.signingSecret).verify(request?.body ?? '', headers)).toEqual({
      id: event.id,
      type: 'invoice.paid',
      timestamp: '2026-01-02T03:04:05.000Z',
      version: '1',
      data: { amount: 100 },
    });
    expect(headers).toMatchObject({
      'webhook-id': event.id,
      'content-type': 'application/json',
      'x-tenant': 'seven',
    });
    expect(headers['user-agent']).toMatch(/^Posthorn\/\d/);
    expect((await account.deliveryOf(event, ({ status }) => status === 'delivered')).attemptCount).toBe(1);
  });

  // It asks the publisher of the one process.
  itInOneProcess(
    'publishes once what comes twice under one id, and what is committed beside it',
    async () => {
      const [own, other] = [await system.account(), await system.account()];
      const publisher = system.get(Publisher);
      const of = ({ id }: Account): NewEvent => ({
        accountId: fromId('account', id) ?? '',
        externalId: null,
        type: 'invoice.paid',
        timestamp: null,
        version: '1',
        tags: [],
        priority: null,
        data: '1',
      });
      const named = { ...of(own), id: uuidV7(Date.now()) };
      const [first] = await publisher.publish([named]);
      const again = await Promise.all([publisher.publish([named]), publisher.publish([of(other)])]);
      expect(again).toMatchObject([[{ id: first?.id, duplicate: true }], [{ duplicate: false }]]);
      expect((await system.ok<{ data: unknown[] }>('GET', `${own.path}/events`)).data).toHaveLength(1);
    },
  );

  it('delivers data byte for byte, large numbers, duplicate keys and escapes included', async () => {
    account = await system.account();
    const target = await receiver();
    await account.endpoint({ url: target.url });
    const data =
      '{ "n": 12345678901234567890.10, "a": 1,\n "a": 2, "s": "\\u0000 \\ud83d\\ude00 é", "__proto__": {"x": [1e400]} }';
    const published = await system.call<Published>(
      'POST',
      `${account.path}/events`,
      `{"type":"a.b","data":${data}}`,
    );
    expect(published.status).toBe(202);
    const [request] = await target.got(1);
    expect(request?.body).toContain(`"data":${data}}`);
    const shown = await system.call('GET', `${account.path}/events/${published.body.id}`);
    expect(shown.text).toContain(`"data":${data}}`);
  });

  it('matches exact types, prefixes ending in .*, and everything when no types are given', async () => {
    account = await system.account();
    const url = 'http://127.0.0.1:4433/';
    await account.endpoint({ url, eventTypes: ['invoice.paid'], paused: true });
    await account.endpoint({ url, eventTypes: ['invoice.*'], paused: true });
    await account.endpoint({ url, paused: true });
    const matched = async (type: string) => (await account.publish({ type })).matched;
    expect(await matched('invoice.paid')).toBe(3);
    expect(await matched('invoice.paid.late')).toBe(2);
    expect(await matched('invoice')).toBe(1);
    expect(await matched('invoices.paid')).toBe(1);
  });

  it('keeps an event that matches nothing', async () => {
    account = await system.account();
    const event = await account.publish({ data: null, tags: ['eu'], priority: 'low' });
    expect(event).toMatchObject({ matched: 0, duplicate: false, externalId: null });
    expect(await system.ok('GET', `${account.path}/events/${event.id}`)).toMatchObject({
      id: event.id,
      data: null,
      tags: ['eu'],
      priority: 'low',
    });
  });

  it('delivers one external id once, however many publish it at once', async () => {
    account = await system.account();
    const target = await receiver();
    await account.endpoint({ url: target.url });
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => account.publish({ externalId: 'order-1' })),
    );
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
    expect(answers.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    const later = await account.publish({ externalId: 'order-1', type: 'other.type' });
    expect(later).toMatchObject({ id: answers[0]?.id, duplicate: true, type: 'invoice.paid', matched: 1 });
    // A second event after it: once that has arrived, a wrongly doubled first one would have too.
    const last = await account.publish({ externalId: 'order-2' });
    await account.deliveryOf(last, ({ status }) => status === 'delivered');
    expect(await account.deliveries()).toHaveLength(2);
  });

  it("takes another account's external id for another event", async () => {
    const [one, two] = [await system.account(), await system.account()];
    const first = await one.publish({ externalId: 'same' });
    const second = await two.publish({ externalId: 'same' });
    expect(second.duplicate).toBe(false);
    expect(second.id).not.toBe(first.id);
  });

  it('answers a batch with one line each, in order, duplicates within it included', async () => {
    account = await system.account();
    const target = await receiver();
    await account.endpoint({ url: target.url, eventTypes: ['batch.*'] });
    const events = Array.from({ length: 60 }, (_, index) => ({
      type: `batch.n${index}`,
      data: { index },
      ...(index % 20 === 0 ? { externalId: 'twenty' } : {}),
    }));
    const { data } = await system.ok<{ data: Published[] }>('POST', `${account.path}/events/batch`, {
      events,
    });
    expect(data.map(({ type }) => type)).toEqual(
      events.map(({ type, externalId }) => (externalId === undefined ? type : 'batch.n0')),
    );
    expect(data.filter(({ duplicate }) => duplicate)).toHaveLength(2);
    const listed = await system.ok<{ data: { id: string }[] }>('GET', `${account.path}/events?limit=250`);
    const published = data.filter(({ duplicate }) => !duplicate);
    expect(listed.data.map(({ id }) => id)).toEqual(published.map(({ id }) => id).reverse());
    const received = await target.got(58);
    expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(58);
  });

  it('refuses a batch with one bad event as a whole, and points at it', async () => {
    account = await system.account();
    const events = [{ type: 'fine', data: 1 }, { type: 'not fine', data: 1 }, { type: 'fine' }];
    const answer = await system.call<{ errors: { pointer: string }[] }>(
      'POST',
      `${account.path}/events/batch`,
      { events },
    );
    expect(answer.status).toBe(422);
    expect(answer.body.errors.map(({ pointer }) => pointer)).toEqual(['/events/1/type', '/events/2/data']);
    expect((await system.ok<{ data: unknown[] }>('GET', `${account.path}/events`)).data).toEqual([]);
  });

  // Each process has its own room.
  itInOneProcess('takes what comes one by one when there is no more room for batches', async () => {
    const flooding = await system.account();
    const other = await system.account();
    const events = Array.from({ length: 1_000 }, () => ({ type: 'a', data: 1 }));
    const blocker = new pg.Client(system.databaseUrl);
    await blocker.connect();
    try {
      await blocker.query('BEGIN; LOCK TABLE events IN EXCLUSIVE MODE');
      const batches = Array.from({ length: 12 }, () =>
        system.call('POST', `${flooding.path}/events/batch`, { events }),
      );
      const refused = await Promise.race(batches);
      expect([refused.status, refused.body.code]).toEqual([503, 'unavailable']);
      const published = other.publish();
      const bothWait = until(
        () =>
          system.sql(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%filters_version%'",
          ),
        // A connection that is just being opened tries the statement, and waits as well.
        ({ length }) => length >= 2,
      );
      await Promise.race([published, bothWait]);
      await blocker.query('COMMIT');
      expect(await published).toMatchObject({ duplicate: false });
      const statuses = (await Promise.all(batches)).map(({ status }) => status);
      // One that was read after the others had begun to be committed finds room.
      expect(statuses.filter((status) => status === 202).length).toBeGreaterThanOrEqual(10);
      expect(new Set(statuses)).toEqual(new Set([202, 503]));
    } finally {
      await blocker.end();
    }
  });

  it('is matched by an endpoint that another process has just made', async () => {
    const other = await System.start({ like: system });
    try {
      account = await system.account();
      for (let round = 1; round <= 10; round += 1) {
        await other.ok('POST', `${account.path}/endpoints`, { url: 'http://127.0.0.1:4433/', paused: true });
        expect((await account.publish()).matched).toBe(round);
      }
    } finally {
      await other.stop();
    }
  });

  it('answers 404 for an account that does not exist and keeps nothing of it', async () => {
    const answer = await system.call('POST', '/accounts/acc_00000000000000000000000000/events', {
      type: 'a',
      data: 1,
    });
    expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
  });
});
