import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { EndpointShown } from '../../src/endpoints/endpoints.schema.js';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';

const URL = 'http://127.0.0.1:4433/hook';

interface Refusal {
  code: string;
  detail: string;
  errors: { pointer: string; detail: string }[];
}

describe('endpoints', () => {
  let system: System;
  let account: Account;

  const create = (body: Record<string, unknown>) =>
    system.call<Refusal>('POST', `${account.path}/endpoints`, { url: URL, paused: true, ...body });
  const pathOf = ({ id }: { id: string }) => `${account.path}/endpoints/${id}`;
  const read = (endpoint: { id: string }) => system.ok<EndpointShown>('GET', pathOf(endpoint));
  const change = (endpoint: { id: string }, body: Record<string, unknown>) =>
    system.ok<EndpointShown>('PATCH', pathOf(endpoint), body);

  beforeAll(async () => {
    system = await System.start();
    account = await system.account();
  });
  afterAll(() => system.stop());

  it('need no more than a URL', async () => {
    const created = await account.endpoint({ url: URL });
    expect(created).toEqual({
      id: expect.stringMatching(/^ep_[0-9a-z]{26}$/),
      accountId: account.id,
      url: URL,
      description: null,
      eventTypes: null,
      eventVersions: {},
      filter: null,
      lookups: [],
      headers: {},
      auth: { type: 'none' },
      tls: null,
      certificates: [],
      certificateExpiresAt: null,
      timeoutMs: 15_000,
      retrySchedule: 'default',
      lane: null,
      payload: 'full',
      format: 'posthorn',
      batch: null,
      test: false,
      priority: null,
      rateLimit: null,
      maxInFlight: null,
      status: 'active',
      statusReason: null,
      paused: false,
      verification: 'none',
      createdAt: expect.stringMatching(/\.\d{3}Z$/),
      updatedAt: created.createdAt,
      signing: { scheme: 'standard', header: 'webhook-signature' },
      secrets: [{ secret: created.signingSecret, publicKey: null }],
      signingSecret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
      publicKey: null,
    });
    const shown = await read(created);
    expect(shown).toMatchObject({ id: created.id, status: 'active' });
    expect(shown).not.toHaveProperty('signingSecret');
  });

  it('are changed field by field', async () => {
    const endpoint = await account.endpoint({
      url: URL,
      description: 'first',
      eventTypes: ['a.b', 'c.*'],
      retrySchedule: [1, 2.5],
      timeoutMs: 1_000,
      paused: true,
    });
    expect(endpoint).toMatchObject({ retrySchedule: [1, 2.5], eventTypes: ['a.b', 'c.*'], status: 'paused' });
    expect(await change(endpoint, { url: `${URL}?v=2` })).toMatchObject({
      url: `${URL}?v=2`,
      description: 'first',
    });
    expect(await change(endpoint, { description: null, eventTypes: null })).toMatchObject({
      description: null,
      eventTypes: null,
      timeoutMs: 1_000,
    });
    expect(await change(endpoint, { retrySchedule: 'patient', timeoutMs: 30_000 })).toMatchObject({
      retrySchedule: 'patient',
      timeoutMs: 30_000,
    });
    expect(await change(endpoint, { status: 'active' })).toMatchObject({ status: 'active', paused: false });
    expect(await change(endpoint, { paused: true })).toMatchObject({ status: 'paused', paused: true });
    expect(await change(endpoint, {})).toMatchObject({ status: 'paused', retrySchedule: 'patient' });
  });

  it('have a lane, a priority and limits of their own, and give each up again when it is set to null', async () => {
    const own = {
      lane: 'express',
      priority: 'critical',
      rateLimit: { perSecond: 0.25, burst: 10 },
      maxInFlight: 3,
    };
    const endpoint = await account.endpoint({ url: URL, paused: true, ...own });
    expect(endpoint).toMatchObject(own);
    expect(await read(endpoint)).toMatchObject(own);
    const page = await system.ok<{ data: EndpointShown[] }>('GET', `${account.path}/endpoints?limit=1`);
    expect(page.data).toEqual([expect.objectContaining({ id: endpoint.id, ...own })]);
    expect(await change(endpoint, { description: 'other' })).toMatchObject(own);
    let expected: Record<string, unknown> = own;
    for (const one of [
      { lane: 'durable' },
      { priority: 'low' },
      { rateLimit: { perSecond: 10_000, burst: 10_000 } },
      { maxInFlight: 1000 },
      { lane: null },
      { priority: null },
      { rateLimit: null },
      { maxInFlight: null },
    ]) {
      expected = { ...expected, ...one };
      expect(await change(endpoint, one)).toMatchObject(expected);
    }
    expect(await read(endpoint)).toMatchObject(expected);
  });

  it('space their attempts evenly when a rate limit names no burst', async () => {
    const endpoint = await account.endpoint({ url: URL, paused: true, rateLimit: { perSecond: 0.01 } });
    expect(endpoint.rateLimit).toEqual({ perSecond: 0.01, burst: 1 });
    const other = await change(endpoint, { rateLimit: { perSecond: 5, burst: 20 } });
    expect(other.rateLimit).toEqual({ perSecond: 5, burst: 20 });
    expect((await change(endpoint, { rateLimit: { perSecond: 5 } })).rateLimit).toEqual({
      perSecond: 5,
      burst: 1,
    });
  });

  it('that were deleted are gone, and their secrets and headers with them', async () => {
    const endpoint = await account.endpoint({ url: URL, paused: true, headers: { authorization: 'x' } });
    await account.publish();
    expect((await system.call('DELETE', pathOf(endpoint))).status).toBe(204);
    for (const [method, path] of [
      ['GET', ''],
      ['PATCH', ''],
      ['DELETE', ''],
      ['GET', '/secret'],
      ['POST', '/secret/rotate'],
    ] as const) {
      const { status, body } = await system.call(
        method,
        pathOf(endpoint) + path,
        method === 'PATCH' ? {} : undefined,
      );
      expect([method, path, status, body.code]).toEqual([method, path, 404, 'not_found']);
    }
    const list = await system.call('GET', `${account.path}/endpoints?limit=250`);
    expect(list.text).not.toContain(endpoint.id);
    const [left] = await system.sql<{ secrets: number; sealed_headers: Buffer | null }>(
      `SELECT sealed_headers, (SELECT count(*)::int FROM endpoint_secrets s WHERE s.endpoint_id = e.id) AS secrets
         FROM endpoints e ORDER BY deleted_at DESC NULLS LAST LIMIT 1`,
    );
    expect(left).toEqual({ secrets: 0, sealed_headers: null });
    const [delivery] = await account.deliveries(`endpointId=${endpoint.id}`);
    expect(delivery).toMatchObject({ status: 'cancelled', statusReason: 'endpoint_deleted' });
  });

  it.each([
    [{ url: undefined }, '/url'],
    [{ url: '' }, '/url'],
    [{ url: 7 }, '/url'],
    [{ payload: 'half' }, '/payload'],
    [{ format: 'cloudevents' }, '/format'],
    [{ test: 'yes' }, '/test'],
    [{ url: null }, '/url'],
    [{ description: 'a'.repeat(501) }, '/description'],
    [{ description: 'a\u0000' }, '/description'],
    [{ eventTypes: [] }, '/eventTypes'],
    [{ eventTypes: 'a' }, '/eventTypes'],
    [{ eventTypes: ['ok', '*'] }, '/eventTypes/1'],
    [{ eventTypes: ['a.*.b'] }, '/eventTypes/0'],
    [{ eventTypes: ['a*'] }, '/eventTypes/0'],
    [{ eventTypes: ['a..b'] }, '/eventTypes/0'],
    [{ eventTypes: ['a b'] }, '/eventTypes/0'],
    [{ eventTypes: Array.from({ length: 201 }, (_, n) => `t${n}`) }, '/eventTypes'],
    [{ timeoutMs: 999 }, '/timeoutMs'],
    [{ timeoutMs: 30_001 }, '/timeoutMs'],
    [{ timeoutMs: 1500.5 }, '/timeoutMs'],
    [{ timeoutMs: '5000' }, '/timeoutMs'],
    [{ retrySchedule: 'often' }, '/retrySchedule'],
    [{ retrySchedule: [-1] }, '/retrySchedule/0'],
    [{ retrySchedule: [7 * 24 * 3600 + 1] }, '/retrySchedule/0'],
    [{ retrySchedule: Array.from({ length: 31 }, () => 1) }, '/retrySchedule'],
    [{ lane: 'fast' }, '/lane'],
    [{ priority: 'urgent' }, '/priority'],
    [{ priority: 1 }, '/priority'],
    [{ rateLimit: 10 }, '/rateLimit'],
    [{ rateLimit: {} }, '/rateLimit/perSecond'],
    [{ rateLimit: { burst: 5 } }, '/rateLimit/perSecond'],
    [{ rateLimit: { perSecond: 0.009 } }, '/rateLimit/perSecond'],
    [{ rateLimit: { perSecond: 10_001 } }, '/rateLimit/perSecond'],
    [{ rateLimit: { perSecond: '5' } }, '/rateLimit/perSecond'],
    [{ rateLimit: { perSecond: null } }, '/rateLimit/perSecond'],
    [{ rateLimit: { perSecond: 5, burst: 0 } }, '/rateLimit/burst'],
    [{ rateLimit: { perSecond: 5, burst: 1.5 } }, '/rateLimit/burst'],
    [{ rateLimit: { perSecond: 5, burst: 10_001 } }, '/rateLimit/burst'],
    [{ rateLimit: { perSecond: 5, burst: null } }, '/rateLimit/burst'],
    [{ rateLimit: { perSecond: 5, perMinute: 300 } }, '/rateLimit/perMinute'],
    [{ maxInFlight: 0 }, '/maxInFlight'],
    [{ maxInFlight: 1001 }, '/maxInFlight'],
    [{ maxInFlight: 2.5 }, '/maxInFlight'],
    [{ maxInFlight: '8' }, '/maxInFlight'],
    [{ paused: 'yes' }, '/paused'],
    [{ headers: { 'a b': 'x' } }, '/headers/a b'],
    [{ headers: { host: 'x' } }, '/headers/host'],
    [{ headers: { 'webhook-id': 'x' } }, '/headers/webhook-id'],
    [{ headers: { 'x-a': 'x\r\nx-b: y' } }, '/headers/x-a'],
    [{ headers: { 'x-a': null } }, '/headers/x-a'],
    [{ signingSecret: 'whsec_short' }, '/signingSecret'],
    [{ signingSecret: 'whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=' }, '/signingSecret'],
    [{ signingSecret: 'a'.repeat(201) }, '/signingSecret'],
    [{ status: 'active' }, '/status'],
    [{ accountId: 'acc_other' }, '/accountId'],
  ])('are refused for %j', async (body, pointer) => {
    const { status, body: problem } = await create(body);
    expect([status, problem.errors.map((error) => error.pointer)]).toEqual([422, [pointer]]);
    expect(problem.errors[0]?.detail).not.toBe('Invalid input');
  });

  it('are not changed by a request of which any field is bad', async () => {
    const endpoint = await account.endpoint({ url: URL, paused: true });
    const both = { description: 'new', status: 'paused', paused: true };
    for (const body of [
      both,
      { description: 'new', timeoutMs: 1 },
      { description: 'new', url: 'ftp://x/' },
      { status: 'disabled' },
    ]) {
      expect((await system.call('PATCH', pathOf(endpoint), body)).status).toBe(422);
    }
    expect(await read(endpoint)).toMatchObject({ description: null, updatedAt: endpoint.updatedAt });
  });

  it.each([
    ['no URL', 'example.com/hook'],
    ['another scheme', 'ftp://127.0.0.1/'],
    ['a script', 'javascript:alert(1)'],
    ['credentials', 'https://user:pass@example.com/'],
    ['a fragment', 'https://example.com/#top'],
    ['a private address', 'https://10.0.0.1/'],
    ['the cloud metadata address', 'http://169.254.169.254/latest/meta-data'],
    ['http to the outside', 'http://93.184.215.14/'],
    ['a mail port', 'https://example.com:25/'],
    ['a NUL', 'https://example.com/\u0000'],
    ['a line break', 'https://example.com/\r\nX-Evil: 1'],
    ['a lone surrogate', 'https://\ud800.example.com/'],
  ])('may not have a URL with %s', async (_, url) => {
    const { status, body } = await create({ url });
    expect([status, body.code, body.errors[0]?.pointer]).toEqual([422, 'endpoint_url_refused', '/url']);
    expect(body.errors[0]?.detail).toMatch(/\((url|address|host)_\w+\)$/);
  });

  it('may not have a URL of more than 2048 characters', async () => {
    expect((await create({ url: `${URL}?${'a'.repeat(2048 - URL.length - 1)}` })).status).toBe(201);
    expect((await create({ url: `${URL}?${'a'.repeat(2048 - URL.length)}` })).status).toBe(422);
  });

  it('hide credentials in headers, and keep them when an answer is sent back as it came', async () => {
    const receiver = await Receiver.start();
    try {
      const headers = { Authorization: 'Bearer s3cr3t', 'X-Api-Key': 'k3y', 'X-Tenant': 'seven' };
      const endpoint = await account.endpoint({ url: receiver.url, headers, eventTypes: ['with.headers'] });
      const masked = { authorization: '***', 'x-api-key': '***', 'x-tenant': 'seven' };
      expect(endpoint.headers).toEqual(masked);
      const shown = await system.call<EndpointShown>('GET', pathOf(endpoint));
      expect(shown.body.headers).toEqual(masked);
      expect(shown.text).not.toMatch(/s3cr3t|k3y/);

      const changed = await change(endpoint, { headers: { ...masked, 'x-api-key': 'new', 'x-more': 'm' } });
      expect(changed.headers).toEqual({ ...masked, 'x-more': 'm' });
      const event = await account.publish({ type: 'with.headers' });
      const [request] = await receiver.got(1);
      expect(request?.headers).toMatchObject({
        authorization: 'Bearer s3cr3t',
        'x-api-key': 'new',
        'x-tenant': 'seven',
        'x-more': 'm',
      });
      const { id } = await account.deliveryOf(event, ({ status }) => status === 'delivered', endpoint);
      const log = await system.call('GET', `${account.path}/deliveries/${id}`);
      expect(log.text).toContain('"x-tenant":"seven"');
      expect(log.text).not.toMatch(/s3cr3t|"new"/);
      expect((await change(endpoint, { headers: {} })).headers).toEqual({});
    } finally {
      await receiver.stop();
    }
  });

  it('keep headers and secrets encrypted', async () => {
    const endpoint = await account.endpoint({ url: URL, paused: true, headers: { 'x-plain': 'v1s1ble' } });
    const rows = await system.sql<{ sealed: Buffer }>(
      `SELECT sealed_headers AS sealed FROM endpoints WHERE sealed_headers IS NOT NULL
       UNION ALL SELECT sealed FROM endpoint_secrets`,
    );
    expect(rows.length).toBeGreaterThan(2);
    for (const { sealed } of rows) {
      for (const plain of ['v1s1ble', 'x-plain', 'whsec_', endpoint.signingSecret]) {
        expect(sealed.includes(plain)).toBe(false);
      }
    }
  });
});

describe('endpoints of a system without networks of its own', () => {
  let system: System;
  let account: Account;

  beforeAll(async () => {
    system = await System.start({ env: { POSTHORN_EGRESS_ALLOW: '10.255.0.0/16' } });
    account = await system.account();
  });
  afterAll(() => system.stop());

  it.each([
    'https://127.0.0.1/',
    'https://0x7f.1/',
    'https://2130706433/',
    'https://[::1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[64:ff9b::7f00:1]/',
    'https://10.0.0.1/',
    'https://192.168.0.1/',
    'https://169.254.169.254/',
    'https://100.64.0.1/',
    'https://0.0.0.0/',
    'https://255.255.255.255/',
    'https://metadata.google.internal/',
    'http://93.184.215.14/',
  ])('may not lead to %s', async (url) => {
    const { status, body } = await system.call('POST', `${account.path}/endpoints`, { url });
    expect([status, body.code]).toEqual([422, 'endpoint_url_refused']);
    expect((await system.ok<{ data: unknown[] }>('GET', `${account.path}/endpoints`)).data).toEqual([]);
  });

  it('may not be changed to lead there either', async () => {
    const endpoint = await account.endpoint({ url: 'http://10.255.0.1/', paused: true });
    const path = `${account.path}/endpoints/${endpoint.id}`;
    const { status, body } = await system.call('PATCH', path, { url: 'https://127.0.0.1/' });
    expect([status, body.code]).toEqual([422, 'endpoint_url_refused']);
    expect(await system.ok('GET', path)).toMatchObject({ url: 'http://10.255.0.1/' });
  });
});
