import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { EventTypeShown } from '../../src/event-types/event-types.schema.js';
import { System } from '../support/system.js';

interface Page {
  data: EventTypeShown[];
  nextCursor: string | null;
}

describe('event types', () => {
  let system: System;

  const register = (name: string, body: Record<string, unknown> = {}) =>
    system.ok<EventTypeShown>('PUT', `/event-types/${name}`, body);
  const list = (query = '') => system.ok<Page>('GET', `/event-types?${query}`);
  const namesOf = ({ data }: Page) => data.map(({ name }) => name);

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(() => system.sql('DELETE FROM event_types'));

  it('are registered by name, with a priority or without', async () => {
    const created = await register('invoice.paid', { priority: 'critical' });
    expect(created).toEqual({
      name: 'invoice.paid',
      description: null,
      group: null,
      priority: 'critical',
      versions: [],
      conversions: [],
      createdAt: expect.stringMatching(/\.\d{3}Z$/),
      updatedAt: created.createdAt,
    });
    expect(await system.ok('GET', '/event-types/invoice.paid')).toEqual(created);
    expect((await register('invoice.sent', { priority: null })).priority).toBeNull();
    expect((await register('invoice.void')).priority).toBeNull();
    const bare = await system.call('PUT', '/event-types/invoice.lost');
    expect([bare.status, bare.body.priority]).toEqual([200, null]);
  });

  it('are replaced when they are registered again: what is not named is gone', async () => {
    const first = await register('invoice.paid', { priority: 'high' });
    const second = await register('invoice.paid', { priority: 'low' });
    expect(second).toMatchObject({ priority: 'low', createdAt: first.createdAt });
    expect(second.updatedAt >= first.updatedAt).toBe(true);
    expect(await register('invoice.paid')).toMatchObject({ priority: null, createdAt: first.createdAt });
    expect((await list()).data).toHaveLength(1);
  });

  it('that were removed are not found, and can be registered again', async () => {
    await register('invoice.paid', { priority: 'high' });
    expect((await system.call('DELETE', '/event-types/invoice.paid')).status).toBe(204);
    for (const method of ['GET', 'DELETE']) {
      const { status, body } = await system.call(method, '/event-types/invoice.paid');
      expect([method, status, body.code]).toEqual([method, 404, 'not_found']);
    }
    expect(await register('invoice.paid')).toMatchObject({ priority: null });
  });

  it('need not be registered to be published', async () => {
    const account = await system.account();
    await account.endpoint({ url: 'http://127.0.0.1:4433/', paused: true });
    const event = await account.publish({ type: 'never.registered' });
    expect(event.matched).toBe(1);
    expect(await account.deliveryOf(event)).toMatchObject({ priority: 'normal' });
    expect((await list()).data).toEqual([]);
  });

  it('are listed by name, each once, whatever is registered while paging', async () => {
    const names = ['a', 'a-b', 'a.b', 'a_b', 'aB', 'B', 'b', 'z'];
    for (const name of [...names].reverse()) await register(name);
    const sorted = [...names].sort();
    expect(namesOf(await list())).toEqual(sorted);
    const paged: string[] = [];
    let cursor: string | null = null;
    do {
      const next: Page = await list(`limit=3${cursor === null ? '' : `&cursor=${cursor}`}`);
      paged.push(...namesOf(next));
      cursor = next.nextCursor;
      // Before everything shown so far: no page may show a row again because of it.
      await register(`A${paged.length}`);
    } while (cursor !== null);
    expect(paged).toEqual(sorted);
  });

  it('go on from the longest name there may be', async () => {
    const longest = `${'a'.repeat(64)}.${'b'.repeat(63)}`;
    await register(longest);
    await register('c');
    const { nextCursor } = await list('limit=1');
    expect(namesOf(await list(`cursor=${nextCursor}`))).toEqual(['c']);
  });

  it('are listed with a limit from 1 to 250 and no unknown parameter', async () => {
    for (const query of ['limit=0', 'limit=251', 'limit=ten', 'offset=1', 'name=a']) {
      const { status, body } = await system.call('GET', `/event-types?${query}`);
      expect([query, status, body.code]).toEqual([query, 422, 'validation_failed']);
    }
  });

  it('refuse a cursor that another list gave out, and one that nobody did', async () => {
    await system.account();
    await system.account();
    const accounts = await system.ok<Page>('GET', '/accounts?limit=1');
    const forged = Buffer.from('event-types:a\u0000').toString('base64url');
    for (const cursor of [accounts.nextCursor, forged, '', 'x', '%00', 'e30', 'a'.repeat(200)]) {
      const { status, body } = await system.call('GET', `/event-types?cursor=${cursor}`);
      expect([cursor, status, body.code]).toEqual([cursor, 400, 'invalid_cursor']);
    }
    await register('a');
    await register('b');
    const { nextCursor } = await list('limit=1');
    expect((await system.call('GET', `/accounts?cursor=${nextCursor}`)).status).toBe(400);
  });

  it.each([
    'a..b',
    '.a',
    'a.',
    'a.*',
    'a%20b',
    'a%00',
    'a%2Fb',
    '%F0%9F%98%80',
    "';DROP TABLE event_types;--",
    'a'.repeat(129),
    'a'.repeat(8000),
  ])('may not be called %s', async (name) => {
    const answers = await Promise.all(
      ['PUT', 'GET', 'DELETE'].map((method) => system.call(method, `/event-types/${name}`)),
    );
    expect(answers.map(({ status, body }) => [status, body.code])).toEqual([
      [422, 'validation_failed'],
      [404, 'not_found'],
      [404, 'not_found'],
    ]);
    expect(answers[0]?.body.detail).toMatch(/^The event type: \S+/);
    expect((await list()).data).toEqual([]);
  });

  it.each([
    [{ priority: 'urgent' }, '/priority'],
    [{ priority: 2 }, '/priority'],
    [{ name: 'other' }, '/name'],
    [{ schema: {} }, '/schema'],
  ])('are refused for %j', async (body, pointer) => {
    const answer = await system.call<{ errors: { pointer: string }[] }>('PUT', '/event-types/a', body);
    expect([answer.status, answer.body.errors.map((error) => error.pointer)]).toEqual([422, [pointer]]);
  });

  it("are an account's to read, and the operator's alone to change", async () => {
    await register('invoice.paid', { priority: 'high' });
    const account = await system.account();
    const { secret } = await system.ok<{ secret: string }>('POST', `${account.path}/keys`, { name: 'app' });
    const asAccount = (method: string, path: string, body?: unknown) =>
      system.call(method, path, body, { authorization: `Bearer ${secret}` });
    expect((await asAccount('GET', '/event-types')).status).toBe(200);
    expect((await asAccount('GET', '/event-types/invoice.paid')).body).toMatchObject({ priority: 'high' });
    for (const method of ['PUT', 'DELETE']) {
      const { status, body } = await asAccount(
        method,
        '/event-types/invoice.paid',
        method === 'PUT' ? {} : undefined,
      );
      expect([method, status, body.code]).toEqual([method, 403, 'forbidden']);
    }
    expect(await system.ok('GET', '/event-types/invoice.paid')).toMatchObject({ priority: 'high' });
  });

  it('answer the first answer again under the same Idempotency-Key', async () => {
    const send = (priority: string) =>
      system.call('PUT', '/event-types/a', { priority }, { 'idempotency-key': 'once' });
    const first = await send('high');
    await register('a', { priority: 'low' });
    const again = await send('high');
    expect([again.body, again.headers.get('idempotent-replayed')]).toEqual([first.body, 'true']);
    expect((await send('critical')).body.code).toBe('idempotency_key_reused');
    expect(await system.ok('GET', '/event-types/a')).toMatchObject({ priority: 'low' });
  });
});
