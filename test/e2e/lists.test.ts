import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { DeliverySummary } from '../../src/deliveries/deliveries.schema.js';
import type { EndpointCreated } from '../../src/endpoints/endpoints.schema.js';
import type { Published } from '../../src/events/events.schema.js';
import { type Account, System } from '../support/system.js';

interface Row {
  id: string;
  createdAt: string;
}
interface Page {
  data: Row[];
  nextCursor: string | null;
}

const URL = 'http://127.0.0.1:4433/';
const LISTS = [
  'accounts',
  'keys of the operator',
  'keys',
  'endpoints',
  'events',
  'deliveries',
  'audit-log',
] as const;

describe('lists', () => {
  let system: System;

  /** A fresh list of each kind, and how to add to it. */
  const open = async (
    kind: (typeof LISTS)[number],
  ): Promise<{ path: string; add: () => Promise<unknown> }> => {
    if (kind === 'accounts') return { path: '/accounts', add: () => system.account() };
    if (kind === 'keys of the operator') {
      return { path: '/keys', add: () => system.ok('POST', '/keys', { name: 'x' }) };
    }
    const account = await system.account();
    const path = `${account.path}/${kind}`;
    if (kind === 'keys') return { path, add: () => system.ok('POST', path, { name: 'x' }) };
    if (kind === 'endpoints') return { path, add: () => account.endpoint({ url: URL }) };
    if (kind === 'audit-log') return { path, add: () => system.ok('PATCH', account.path, {}) };
    if (kind === 'deliveries') await account.endpoint({ url: URL, paused: true });
    return { path, add: () => account.publish() };
  };
  const page = (path: string, query: string) => system.ok<Page>('GET', `${path}?${query}`);

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());

  it.each(LISTS)('of %s show the newest first, each once, whatever is added while paging', async (kind) => {
    const { path, add } = await open(kind);
    for (let count = 0; count < 5; count += 1) await add();
    const before = (await page(path, 'limit=250')).data;
    expect(before.length).toBeGreaterThanOrEqual(5);
    expect(before.map(({ id }) => id)).toEqual(
      before
        .map(({ id }) => id)
        .sort()
        .reverse(),
    );
    expect(before.map(({ createdAt }) => createdAt)).toEqual(
      before
        .map(({ createdAt }) => createdAt)
        .sort()
        .reverse(),
    );

    const paged: Row[] = [];
    let cursor: string | null = null;
    do {
      const next: Page = await page(path, `limit=2${cursor === null ? '' : `&cursor=${cursor}`}`);
      expect(next.data.length).toBeLessThanOrEqual(2);
      paged.push(...next.data);
      cursor = next.nextCursor;
      await add();
    } while (cursor !== null);
    expect(paged.map(({ id }) => id)).toEqual(before.map(({ id }) => id));
    expect((await page(path, 'limit=250')).data.length).toBeGreaterThan(before.length);
  });

  it.each(LISTS)(
    'of %s refuse a cursor that another list gave out, and one that nobody did',
    async (kind) => {
      const { path, add } = await open(kind);
      await add();
      await add();
      const { nextCursor } = await page(path, 'limit=1');
      for (const other of LISTS) {
        if (other === kind || (kind.startsWith('keys') && other.startsWith('keys'))) continue;
        const answer = await system.call('GET', `${(await open(other)).path}?cursor=${nextCursor}`);
        expect([other, answer.status, answer.body.code]).toEqual([other, 400, 'invalid_cursor']);
      }
      for (const cursor of ['', 'x', '%00', '%F0%9F%98%80', 'e30', 'a'.repeat(200)]) {
        const answer = await system.call('GET', `${path}?cursor=${cursor}`);
        expect([cursor, answer.status, answer.body.code]).toEqual([cursor, 400, 'invalid_cursor']);
      }
    },
  );

  it.each(LISTS)('of %s take a limit from 1 to 250 and no unknown parameter', async (kind) => {
    const { path } = await open(kind);
    for (const limit of ['1', '250']) {
      expect((await system.call('GET', `${path}?limit=${limit}`)).status).toBe(200);
    }
    for (const query of [
      'limit=0',
      'limit=251',
      'limit=-1',
      'limit=1.5',
      'limit=',
      'limit=ten',
      'limit=1&limit=2',
      'limit=1e400',
    ]) {
      const answer = await system.call<{ errors: { pointer: string }[] }>('GET', `${path}?${query}`);
      expect([query, answer.status, answer.body.errors[0]?.pointer]).toEqual([query, 422, '?limit']);
    }
    const unknown = await system.call<{ errors: { pointer: string }[] }>(
      'GET',
      `${path}?offset=3&__proto__=x`,
    );
    expect(unknown.status).toBe(422);
    expect(unknown.body.errors.map(({ pointer }) => pointer)).toEqual(['?offset', '?__proto__']);
  });

  it('that are empty end at once', async () => {
    const account = await system.account();
    expect(await page(`${account.path}/events`, '')).toEqual({ data: [], nextCursor: null });
  });

  it('show 50 rows when no limit is given', async () => {
    const account = await system.account();
    const events = Array.from({ length: 51 }, (_, data) => ({ type: 'a', data }));
    await system.ok('POST', `${account.path}/events/batch`, { events });
    const first = await page(`${account.path}/events`, '');
    expect(first.data).toHaveLength(50);
    const second = await page(`${account.path}/events`, `cursor=${first.nextCursor}`);
    expect([second.data.length, second.nextCursor]).toEqual([1, null]);
  });

  it('never show what another account has', async () => {
    const [one, two] = [await system.account(), await system.account()];
    await one.endpoint({ url: URL, paused: true });
    await one.publish();
    await system.ok('POST', `${one.path}/keys`, { name: 'x' });
    for (const kind of ['keys', 'endpoints', 'events', 'deliveries']) {
      expect([kind, (await page(`${one.path}/${kind}`, '')).data.length]).toEqual([kind, 1]);
      expect([kind, (await page(`${two.path}/${kind}`, '')).data]).toEqual([kind, []]);
    }
  });

  describe('of deliveries', () => {
    let account: Account;
    let all: EndpointCreated;
    let some: EndpointCreated;
    const events: Published[] = [];
    const ids = async (query: string) => (await account.deliveries(query)).map(({ id }) => id).sort();
    let rows: DeliverySummary[];
    const where = (accept: (row: DeliverySummary) => boolean) =>
      rows
        .filter(accept)
        .map(({ id }) => id)
        .sort();

    beforeAll(async () => {
      account = await system.account();
      all = await account.endpoint({ url: URL, paused: true });
      some = await account.endpoint({ url: URL, paused: true, eventTypes: ['b.*'] });
      for (const type of ['a.one', 'b.one', 'b.two']) {
        events.push(await account.publish({ type }));
        // Times are in milliseconds: the next event is to have a later one.
        await wait(5);
      }
      rows = await account.deliveries();
      const first = rows.find((row) => row.eventId === events[0]?.id);
      await system.ok('POST', `${account.path}/deliveries/${first?.id}/cancel`);
      rows = await account.deliveries();
      expect(rows).toHaveLength(5);
    });

    it('are filtered by event', async () => {
      const [, second] = events;
      expect(await ids(`eventId=${second?.id}`)).toEqual(where((row) => row.eventId === second?.id));
      expect(await ids(`eventId=${second?.id}`)).toHaveLength(2);
    });

    it('are filtered by endpoint', async () => {
      expect(await ids(`endpointId=${all.id}`)).toHaveLength(3);
      expect(await ids(`endpointId=${some.id}`)).toEqual(where((row) => row.endpointId === some.id));
    });

    it('are filtered by type', async () => {
      expect(await ids('eventType=b.two')).toEqual(where((row) => row.eventType === 'b.two'));
      expect(await ids('eventType=b.two')).toHaveLength(2);
      expect(await ids('eventType=b')).toEqual([]);
    });

    it('are filtered by status', async () => {
      expect(await ids('status=cancelled')).toEqual(where((row) => row.status === 'cancelled'));
      expect(await ids('status=cancelled')).toHaveLength(1);
      expect(await ids('status=held')).toHaveLength(4);
      expect(await ids('status=delivered')).toEqual([]);
    });

    it('are filtered by priority', async () => {
      const [second] = rows.filter((row) => row.eventId === events[1]?.id);
      await system.sql(
        'UPDATE deliveries SET priority = 1 WHERE event_id = (SELECT id FROM events WHERE type = $1)',
        ['b.one'],
      );
      expect(await ids('priority=critical')).toEqual(where((row) => row.eventId === second?.eventId));
      expect(await ids('priority=critical')).toHaveLength(2);
      expect(await ids('priority=normal')).toHaveLength(3);
      expect(await ids('priority=low')).toEqual([]);
      expect(await account.delivery(second?.id ?? '')).toMatchObject({ priority: 'critical' });
    });

    it('are filtered by time: from `since` on, and before `until`', async () => {
      const at = rows.find((row) => row.eventId === events[1]?.id)?.createdAt ?? '';
      const after = where((row) => row.createdAt >= at);
      expect(after).toHaveLength(4);
      expect(await ids(`since=${at}`)).toEqual(after);
      expect(await ids(`until=${at}`)).toEqual(where((row) => row.createdAt < at));
      const shifted = new Date(Date.parse(at) + 2 * 3600_000).toISOString().replace('Z', '+02:00');
      expect(await ids(`since=${encodeURIComponent(shifted)}`)).toEqual(after);
      expect(await ids('since=2999-01-01T00:00:00Z')).toEqual([]);
      expect(await ids('until=1970-01-01T00:00:00Z')).toEqual([]);
    });

    it('are filtered by several things at once, page by page', async () => {
      const query = `eventType=b.one&endpointId=${some.id}&status=held`;
      expect(await ids(query)).toEqual(
        where((row) => row.eventType === 'b.one' && row.endpointId === some.id && row.status === 'held'),
      );
      const first = await page(`${account.path}/deliveries`, 'status=held&limit=3');
      const second = await page(
        `${account.path}/deliveries`,
        `status=held&limit=3&cursor=${first.nextCursor}`,
      );
      expect([first.data.length, second.data.length, second.nextCursor]).toEqual([3, 1, null]);
    });

    it.each([
      ['status=lost', 422],
      ['priority=urgent', 422],
      ['priority=1', 422],
      ['eventType=not%20a%20type', 422],
      ['since=yesterday', 422],
      ['until=2026-02-30T00:00:00Z', 422],
      ['eventId=ep_00000000000000000000000000', 404],
      ['endpointId=evt_00000000000000000000000000', 404],
      ['eventId=%00', 404],
      [`eventId=${'a'.repeat(500)}`, 422],
    ])('refuse %s', async (query, status) => {
      expect((await system.call('GET', `${account.path}/deliveries?${query}`)).status).toBe(status);
    });
  });

  describe('of events', () => {
    it('are filtered by type and by external id', async () => {
      const account = await system.account();
      const one = await account.publish({ type: 'a.one', externalId: 'order 1/ü' });
      const two = await account.publish({ type: 'a.two' });
      const ids = async (query: string) =>
        (await page(`${account.path}/events`, query)).data.map(({ id }) => id);
      expect(await ids('type=a.two')).toEqual([two.id]);
      expect(await ids(`externalId=${encodeURIComponent('order 1/ü')}`)).toEqual([one.id]);
      expect(await ids('externalId=order')).toEqual([]);
    });
  });
});
