import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { EndpointCreated } from '../../src/endpoints/endpoints.schema.js';
import type { Published } from '../../src/events/events.schema.js';
import { everywhere } from '../support/everywhere.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

describe('an idempotency key', () => {
  let system: System;
  let account: Account;

  const endpoint = { url: 'http://127.0.0.1:4433/', paused: true };
  const post = <Body = Record<string, unknown>>(
    path: string,
    body: unknown,
    key: string,
    headers: Record<string, string> = {},
  ) => system.call<Body>('POST', path, body, { 'idempotency-key': key, ...headers });

  beforeAll(async () => {
    system = await System.start();
    account = await system.account();
  });
  afterAll(() => system.stop());

  it('gets the first answer again, with its status and the secret that is shown once', async () => {
    const key = randomUUID();
    const first = await post<EndpointCreated>(`${account.path}/endpoints`, endpoint, key);
    const again = await post<EndpointCreated>(`${account.path}/endpoints`, endpoint, key);
    expect(first.status).toBe(201);
    expect(first.body.signingSecret).toMatch(/^whsec_/);
    expect(first.headers.get('idempotent-replayed')).toBeNull();
    expect([again.status, again.text]).toEqual([first.status, first.text]);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    const { data } = await system.ok<{ data: unknown[] }>('GET', `${account.path}/endpoints`);
    expect(data).toHaveLength(1);
  });

  it('publishes one event, however often it is sent', async () => {
    const key = randomUUID();
    const body = { type: 'invoice.paid', data: { once: true } };
    const answers = [];
    for (let round = 0; round < 3; round += 1) {
      answers.push(await post<Published>(`${account.path}/events`, body, key));
    }
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202]);
    const { data } = await system.ok<{ data: unknown[] }>('GET', `${account.path}/events`);
    expect(data).toHaveLength(1);
  });

  it.each([
    ['an event', 'events', (event: object) => event],
    ['a batch', 'events/batch', (event: object) => ({ events: [event, { ...event, tags: ['second'] }] })],
    [
      'a batch of which a part had been published before',
      'events/batch',
      (event: object) => ({
        events: [event, { ...event, externalId: 'before' }, { ...event, tags: ['third'] }],
      }),
    ],
  ])('publishes %s once, where nobody knows what came of it the first time', async (_, path, bodyOf) => {
    const own = await system.account();
    const before = await own.publish({ externalId: 'before' });
    const key = randomUUID();
    const body = bodyOf({ type: 'invoice.paid', data: { once: true } });
    const send = () => post<Published & { data?: Published[] }>(`${own.path}/${path}`, body, key);
    const idsOf = ({ data, ...one }: Published & { data?: Published[] }) =>
      (data ?? [one]).map(({ id }) => id);
    const first = await send();
    // As if the process had died, or the database gone, between the commit and the answer.
    const lose = () =>
      system.sql('UPDATE idempotency_keys SET sealed_answer = NULL, locked_until = now() WHERE key = $1', [
        key,
      ]);
    await lose();
    const again = await send();
    expect(again.status).toBe(202);
    expect(idsOf(again.body)).toEqual(idsOf(first.body));
    const { data } = await system.ok<{ data: unknown[] }>('GET', `${own.path}/events`);
    expect(data).toHaveLength(new Set([...idsOf(first.body), before.id]).size);
    await lose();
    expect(idsOf((await send()).body)).toEqual(idsOf(first.body));
  });

  it('is not forgotten by a refusal while nobody knows what came of it', async () => {
    const own = await system.account();
    const plan = `one-${Date.now()}`;
    await system.ok('POST', '/plans', { name: plan, limits: { batchEvents: 1 } });
    const key = randomUUID();
    const body = { events: [1, 2].map((data) => ({ type: 'invoice.paid', data })) };
    const send = () => post<{ data: Published[] }>(`${own.path}/events/batch`, body, key);
    const first = await send();
    await system.sql(
      'UPDATE idempotency_keys SET sealed_answer = NULL, locked_until = now() WHERE key = $1',
      [key],
    );
    await system.ok('PATCH', own.path, { plan });
    await everywhere();
    expect((await send()).status).toBe(422);
    await system.ok('PATCH', own.path, { plan: null });
    await everywhere();
    const again = await send();
    expect(again.body.data.map(({ id }) => id)).toEqual(first.body.data.map(({ id }) => id));
  });

  it('is refused for another body, another path and another method', async () => {
    const key = randomUUID();
    await post(`${account.path}/events`, '{"type":"a","data":1}', key);
    const others = [
      await post(`${account.path}/events`, '{"type":"a","data":2}', key),
      await post(`${account.path}/events`, '{"type":"a", "data":1}', key),
      await post(`${account.path}/events/batch`, '{"type":"a","data":1}', key),
      await system.call('PATCH', account.path, '{"type":"a","data":1}', { 'idempotency-key': key }),
    ];
    for (const { status, body } of others) {
      expect([status, body.code]).toEqual([422, 'idempotency_key_reused']);
    }
  });

  it('answers 409 with Retry-After while the first request is running, and the first answer once it is done', async () => {
    const key = randomUUID();
    const send = () => post('/accounts', { name: 'Slow' }, key);
    const blocker = new pg.Client(system.databaseUrl);
    await blocker.connect();
    try {
      await blocker.query('BEGIN; LOCK TABLE accounts IN EXCLUSIVE MODE');
      const first = send();
      await until(
        () => system.sql('SELECT 1 FROM idempotency_keys WHERE key = $1', [key]),
        (rows) => rows.length === 1,
      );
      const meanwhile = await send();
      expect([meanwhile.status, meanwhile.body.code]).toEqual([409, 'idempotency_key_in_use']);
      expect(Number(meanwhile.headers.get('retry-after'))).toBeGreaterThan(0);
      const other = await post('/accounts', { name: 'Other' }, key);
      expect([other.status, other.body.code]).toEqual([422, 'idempotency_key_reused']);
      await blocker.query('COMMIT');
      const done = await first;
      expect(done.status).toBe(201);
      expect((await send()).text).toBe(done.text);
    } finally {
      await blocker.end();
    }
  });

  it('lets one of many that arrive at once through', async () => {
    const key = randomUUID();
    const name = `Crowd ${key}`;
    const answers = await Promise.all(Array.from({ length: 10 }, () => post('/accounts', { name }, key)));
    for (const { status } of answers) expect([201, 409]).toContain(status);
    expect(new Set(answers.filter(({ status }) => status === 201).map(({ text }) => text)).size).toBe(1);
    expect(await system.sql('SELECT 1 FROM accounts WHERE name = $1', [name])).toHaveLength(1);
  });

  it('is free again after a request that was refused', async () => {
    const key = randomUUID();
    const path = `${account.path}/endpoints`;
    expect((await post(path, { ...endpoint, timeoutMs: 1 }, key)).status).toBe(422);
    expect((await post(path, { ...endpoint, url: 'ftp://127.0.0.1/' }, key)).status).toBe(422);
    expect((await post(path, '{', key)).status).toBe(400);
    expect((await post(path, endpoint, key)).status).toBe(201);
  });

  it("is another one than another account's or the operator's same one", async () => {
    const key = randomUUID();
    const other = await system.account();
    const body = { type: 'a', data: 1 };
    const secretOf = async (owner: Account) =>
      (await system.ok<{ secret: string }>('POST', `${owner.path}/keys`, { name: 'x' })).secret;
    const answers = [];
    for (const owner of [account, other]) {
      const authorization = `Bearer ${await secretOf(owner)}`;
      answers.push(await post<Published>(`${owner.path}/events`, body, key, { authorization }));
    }
    answers.push(await post<Published>(`${account.path}/events`, body, key));
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202]);
    expect(new Set(answers.map(({ body: { id } }) => id)).size).toBe(3);
  });

  it('does not give its answer to a key that may not make the request', async () => {
    const key = randomUUID();
    const path = `${account.path}/endpoints`;
    await post(path, endpoint, key);
    const { secret } = await system.ok<{ secret: string }>('POST', '/keys', {
      name: 'x',
      scopes: ['events:read'],
    });
    expect((await post(path, endpoint, key, { authorization: `Bearer ${secret}` })).status).toBe(403);
  });

  it('keeps its answer encrypted', async () => {
    const key = randomUUID();
    const { body } = await post<EndpointCreated>(`${account.path}/endpoints`, endpoint, key);
    const [row] = await system.sql<{ sealed_answer: Buffer }>(
      'SELECT sealed_answer FROM idempotency_keys WHERE key = $1',
      [key],
    );
    expect(row?.sealed_answer.length).toBeGreaterThan(100);
    for (const plain of [body.signingSecret, 'whsec_', body.id]) {
      expect(row?.sealed_answer.includes(plain)).toBe(false);
    }
  });

  it('works for PATCH and DELETE as well', async () => {
    const { id } = await account.endpoint(endpoint);
    const path = `${account.path}/endpoints/${id}`;
    const send = (method: string, body?: unknown) =>
      system.call(method, path, body, { 'idempotency-key': `${method} ${id}`.replaceAll(' ', '-') });
    const changed = await send('PATCH', { description: 'new' });
    expect((await send('PATCH', { description: 'new' })).text).toBe(changed.text);
    expect((await send('DELETE')).status).toBe(204);
    expect((await send('DELETE')).status).toBe(204);
    expect((await system.call('DELETE', path)).status).toBe(404);
  });

  it.each(['', 'has space', 'ü', 'a'.repeat(256)])('is refused when it is %j', async (key) => {
    const answer = await post('/accounts', { name: 'x' }, encodeLatin1(key));
    expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed']);
  });

  it('is ignored where nothing is written', async () => {
    const headers = { 'idempotency-key': 'read-1' };
    expect((await system.call('GET', '/accounts', undefined, headers)).status).toBe(200);
    expect((await system.call('GET', account.path, undefined, headers)).status).toBe(200);
    expect((await system.call('HEAD', '/accounts', undefined, headers)).status).toBe(200);
    expect(await system.sql("SELECT 1 FROM idempotency_keys WHERE key = 'read-1'")).toEqual([]);
  });
});

/** What fetch takes as a header's value: one character for each byte of the UTF-8 text. */
const encodeLatin1 = (text: string): string => Buffer.from(text).toString('latin1');
