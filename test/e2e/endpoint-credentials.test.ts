import { Client, Connection } from '@temporalio/client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { EndpointShown } from '../../src/endpoints/endpoints.schema.js';
import { PosthornProcess } from '../support/process.js';
import { Receiver } from '../support/receiver.js';
import { testServers } from '../support/servers.js';
import { type Account, System } from '../support/system.js';
import { TokenServer } from '../support/token-server.js';

const HIDDEN = 's3cr3t-0f-7h3-0wn3r';
const BASIC = Buffer.from(`posthorn:${HIDDEN}`).toString('base64');
const LANES = ['durable', 'express'];
const OAUTH2 = { type: 'oauth2', clientId: 'posthorn', clientSecret: HIDDEN };

type Answered = EndpointShown & { code: string; errors: { pointer: string; detail: string }[] };

describe('credentials of an endpoint', () => {
  let system: System;
  let account: Account;
  let receiver: Receiver;
  let tokens: TokenServer;

  const create = (body: Record<string, unknown>) =>
    system.call<Answered>('POST', `${account.path}/endpoints`, { url: receiver.url, ...body });
  const patch = ({ id }: { id: string }, body: Record<string, unknown>) =>
    system.call<Answered>('PATCH', `${account.path}/endpoints/${id}`, body);
  const next = () => receiver.next(() => account.publish());

  /** Every row of every table as text, binary columns as the text that their bytes are. */
  async function everythingStored(): Promise<string> {
    const tables = await system.sql<{ name: string }>(
      `SELECT c.oid::regclass::text AS name FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`,
    );
    const rows = await Promise.all(tables.map(({ name }) => system.sql(`SELECT * FROM ${name}`)));
    const plain = (_key: string, value: unknown): unknown =>
      (value as { type?: unknown } | null)?.type === 'Buffer'
        ? Buffer.from((value as { data: number[] }).data).toString('latin1')
        : value;
    return JSON.stringify(rows, plain);
  }

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    // It repeats what it was sent, as debugging servers do.
    receiver = await Receiver.start((response, { headers }) => {
      response.writeHead(200, { 'x-saw': headers.authorization ?? headers['x-door'] ?? 'nothing' });
      response.end(JSON.stringify(headers));
    });
    tokens = await TokenServer.start();
  });
  afterEach(async () => {
    await receiver.stop();
    await tokens.stop();
  });

  const types = (): [Record<string, unknown>, Record<string, string>][] => [
    [{ type: 'basic', username: 'posthorn', password: HIDDEN }, { authorization: `Basic ${BASIC}` }],
    [{ type: 'bearer', token: HIDDEN }, { authorization: `Bearer ${HIDDEN}` }],
    [{ type: 'header', name: 'X-Door', value: HIDDEN }, { 'x-door': HIDDEN }],
    [{ ...OAUTH2, tokenUrl: tokens.url }, { authorization: `Bearer ${tokens.token(1)}` }],
  ];

  it.each(LANES.flatMap((lane) => [0, 1, 2, 3].map((type) => [lane, type] as const)))(
    'reach the receiver and nobody else, in the lane %s (type %d)',
    async (lane, type) => {
      const [auth, sent] = types()[type] ?? [];
      const created = await create({ auth, lane });
      expect(created.status).toBe(201);
      const event = await account.publish();
      const delivery = await account.deliveryOf(event, ({ status }) => status === 'delivered');
      expect(receiver.received[0]?.headers).toMatchObject(sent ?? {});

      const path = `${account.path}/endpoints`;
      const answers = await Promise.all([
        system.call('GET', `${path}/${created.body.id}`),
        system.call('GET', path),
        system.call('GET', `${account.path}/deliveries/${delivery.id}`),
        patch(created.body, { description: 'other' }),
      ]);
      const log = await account.delivery(delivery.id);
      const [name = ''] = Object.keys(sent ?? {});
      expect(log.attempts[0]?.request?.headers[name]).toBe('***');
      const stored = await everythingStored();
      for (const text of [created.text, ...answers.map((answer) => answer.text), stored]) {
        for (const secret of [HIDDEN, BASIC, 'access-token']) expect(text).not.toContain(secret);
      }
      if (lane === 'durable') {
        const connection = await Connection.connect({ address: testServers().temporalAddress });
        const handle = new Client({ connection }).workflow.getHandle(log.workflow.workflowId);
        const history = await handle.fetchHistory();
        await connection.close();
        expect(history.events?.length).toBeGreaterThan(3);
        const texts = JSON.stringify(history, (_key, value: unknown) =>
          value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value,
        );
        for (const secret of [HIDDEN, BASIC, 'access-token']) expect(texts).not.toContain(secret);
      }
    },
  );

  it('are shown masked, and what is shown can be sent back as it came', async () => {
    for (const [auth] of types()) {
      const { body: endpoint } = await create({ auth, paused: true });
      const secret = Object.keys(auth).find((field) => auth[field] === HIDDEN) ?? '';
      expect(endpoint.auth).toMatchObject({ type: auth.type, [secret]: '***' });
      const [before] = await system.sql<{ sealed: Buffer }>(
        'SELECT sealed_auth AS sealed FROM endpoints WHERE url = $1 ORDER BY id DESC LIMIT 1',
        [receiver.url],
      );
      for (const plain of [HIDDEN, 'posthorn', String(auth.type)])
        expect(before?.sealed.includes(plain)).toBe(false);
      const again = await patch(endpoint, { auth: endpoint.auth, tls: endpoint.tls, paused: false });
      expect(again.body.auth).toEqual(endpoint.auth);
      const { headers } = await next();
      const sent = headers.authorization ?? headers['x-door'];
      expect([`Basic ${BASIC}`, `Bearer ${HIDDEN}`, HIDDEN, `Bearer ${tokens.token(1)}`]).toContain(sent);
      await patch(endpoint, { paused: true });
    }
  });

  it('are changed and removed with effect from the next attempt', async () => {
    const { body: endpoint } = await create({ auth: { type: 'bearer', token: 'the-first-one' } });
    expect((await next()).headers.authorization).toBe('Bearer the-first-one');
    await patch(endpoint, { auth: { type: 'bearer', token: 'the-second-one' } });
    expect((await next()).headers.authorization).toBe('Bearer the-second-one');
    await patch(endpoint, { auth: { type: 'header', name: 'x-door', value: 'open' } });
    expect((await next()).headers).toMatchObject({ 'x-door': 'open' });
    expect((await patch(endpoint, { auth: null })).body).toMatchObject({ auth: { type: 'none' }, tls: null });
    const { headers } = await next();
    expect(headers).not.toHaveProperty('authorization');
    expect(headers).not.toHaveProperty('x-door');
    const [left] = await system.sql('SELECT sealed_auth FROM endpoints WHERE url = $1', [receiver.url]);
    expect(left).toEqual({ sealed_auth: null });
  });

  it('are gone with their endpoint', async () => {
    const { body: endpoint } = await create({ auth: { type: 'bearer', token: HIDDEN } });
    await system.call('DELETE', `${account.path}/endpoints/${endpoint.id}`);
    const [left] = await system.sql('SELECT sealed_auth FROM endpoints WHERE url = $1', [receiver.url]);
    expect(left).toEqual({ sealed_auth: null });
  });

  it.each([
    [{ auth: { type: 'bearer', token: '***' } }, '/auth/token'],
    [{ auth: { type: 'digest' } }, '/auth/type'],
    [{ auth: { type: 'bearer', token: 'x', more: 1 } }, '/auth/more'],
    [{ auth: { type: 'bearer', token: 'x' }, headers: { Authorization: 'y' } }, '/auth/type'],
    [{ auth: { type: 'header', name: 'X-Door', value: 'x' }, headers: { 'x-door': 'y' } }, '/auth/name'],
    [{ auth: { type: 'header', name: 'webhook-id', value: 'x' } }, '/auth/name'],
    [
      { auth: { type: 'header', name: 'stripe-signature', value: 'x' }, signing: { scheme: 'stripe' } },
      '/auth/name',
    ],
    [{ auth: { type: 'mtls', certificate: 'x', privateKey: 'y' } }, '/auth/certificate'],
    [{ tls: { ca: 'x' } }, '/tls/ca'],
    [{ tls: {} }, '/tls/ca'],
  ])('are refused as %j', async (body, pointer) => {
    const answer = await create({ ...body, paused: true });
    expect(answer).toMatchObject({ status: 422, body: { code: 'validation_failed' } });
    expect(answer.body.errors[0]?.pointer).toBe(pointer);
  });

  it('keep out a header and a signature that would take their place', async () => {
    const { body: endpoint } = await create({ auth: { type: 'bearer', token: HIDDEN }, paused: true });
    const pointer = async (body: Record<string, unknown>) => {
      const answer = await patch(endpoint, body);
      return answer.status === 422 ? answer.body.errors[0]?.pointer : answer.status;
    };
    expect(await pointer({ headers: { Authorization: 'x' } })).toBe('/headers/authorization');
    expect(await pointer({ signing: { scheme: 'stripe', header: 'authorization' } })).toBe('/signing/header');
    expect(await pointer({ headers: { 'x-a': '1' } })).toBe(200);
    expect(await pointer({ headers: { authorization: 'x' }, auth: null })).toBe(200);
    expect(await pointer({ auth: { type: 'basic', username: 'a', password: 'b' } })).toBe('/auth/type');
  });

  it('do not lead requests for tokens where deliveries may not go', async () => {
    for (const tokenUrl of [
      'https://10.0.0.1/token',
      'https://metadata.google.internal/',
      'https://u:p@127.0.0.1/',
    ]) {
      const answer = await create({ auth: { ...OAUTH2, tokenUrl }, paused: true });
      expect(answer).toMatchObject({ status: 422, body: { code: 'endpoint_url_refused' } });
      expect(answer.body.errors[0]?.pointer).toBe('/auth/tokenUrl');
    }
  });

  it('are in no line that a process writes, whatever comes of them', async () => {
    const process = await PosthornProcess.beside(system, {
      POSTHORN_TEMPORAL_TASK_QUEUE: `${system.env.POSTHORN_TEMPORAL_TASK_QUEUE ?? ''}-log`,
      POSTHORN_LOG_LEVEL: 'trace',
    });
    try {
      const call = (method: string, path: string, body: unknown) =>
        fetch(`${process.url}/v1${account.path}${path}`, {
          method,
          headers: { authorization: `Bearer ${system.rootKey}`, 'content-type': 'application/json' },
          body: JSON.stringify(body),
        });
      const given = [
        ...types().map(([auth]) => auth),
        { ...OAUTH2, tokenUrl: `${receiver.url}?token=none` },
        { ...OAUTH2, tokenUrl: 'http://127.0.0.1:9/' },
      ];
      for (const auth of given) {
        const made = await call('POST', '/endpoints', { url: receiver.url, auth, retrySchedule: [] });
        expect([201, 422]).toContain(made.status);
      }
      const bad = await call('POST', '/endpoints', {
        url: receiver.url,
        auth: { type: 'bearer', token: `${HIDDEN} ` },
      });
      expect(bad.status).toBe(422);
      expect(await bad.text()).not.toContain(HIDDEN);
      // The process that is asked sends it, too.
      const published = await call('POST', '/events', { type: 'invoice.paid', data: {} });
      const event = (await published.json()) as { id: string };
      await receiver.got(4);
      for (const endpoint of (await system.ok<{ data: { id: string }[] }>('GET', `${account.path}/endpoints`))
        .data)
        await account.deliveryOf(
          event,
          ({ status }) => status === 'delivered' || status === 'failed',
          endpoint,
        );
    } finally {
      await process.end('SIGTERM');
    }
    expect(process.printed).toContain(process.url);
    for (const secret of [HIDDEN, BASIC, 'access-token']) expect(process.printed).not.toContain(secret);
  });
});
