import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, test } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { fromId } from '../../src/common/ids.js';
import { LANES } from '../../src/common/lane.js';
import type { EndpointHealthShown } from '../../src/endpoint-health/endpoint-health.schema.js';
import type { EndpointCreated } from '../../src/endpoints/endpoints.schema.js';
import type { NotificationShown } from '../../src/notifications/notifications.schema.js';
import type { TransformationShown, VersionShown } from '../../src/transformations/transformations.schema.js';
import { everywhere } from '../support/everywhere.js';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

const A_DAY = 24 * 3600;
const javascript = (code: string) => ({ kind: 'javascript', code });
const BROKEN = javascript('function transform(event) { return { body: event.data.nope.nothing } }');
const WELL = javascript('const transform = (event) => ({ body: { mended: event.data.amount } })');
/** Its interpreter does not notice that its time is over. */
const UNSTOPPABLE = javascript('const transform = () => [].sort.call({ length: 1e9 })');

describe('transformations', () => {
  let system: System;
  let account: Account;
  let receiver: Receiver;

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    receiver = await Receiver.start();
  });
  afterEach(() => receiver.stop());

  const pathOf = ({ id }: { id: string }, of = account) => `${of.path}/endpoints/${id}/transformation`;
  const endpointWith = async (
    program: object,
    more: Record<string, unknown> = {},
  ): Promise<EndpointCreated> => {
    const endpoint = await account.endpoint({ url: receiver.url, ...more });
    await system.ok('PUT', pathOf(endpoint), program);
    return endpoint;
  };
  const notices = async () =>
    (await system.ok<{ data: NotificationShown[] }>('GET', `${account.path}/notifications`)).data.filter(
      ({ kind }) => kind === 'endpoint.transform_failing',
    );

  describe.each(LANES)('of a %s delivery', (lane) => {
    it('by JavaScript decide over body, headers and path, and what is sent is signed after it', async () => {
      const endpoint = await endpointWith(
        javascript(`function transform(event, endpoint) {
          return {
            body: { text: event.type + ' ' + event.data.amount, to: endpoint.id },
            headers: { 'X-Type': event.type, 'x-own': 'theirs' },
            path: '/other/' + event.data.amount + '?a=b',
          };
        }`),
        { lane, headers: { 'x-own': 'ours', 'x-kept': 'kept' } },
      );
      const event = await account.publish();
      const [received] = await receiver.got(1);
      expect(received?.body).toBe(`{"text":"invoice.paid 100","to":"${endpoint.id}"}`);
      expect(received?.path).toBe('/other/100?a=b');
      expect(received?.headers).toMatchObject({
        'x-type': 'invoice.paid',
        'x-own': 'theirs',
        'x-kept': 'kept',
        'webhook-id': event.id,
        'content-type': 'application/json',
      });
      const headers = received?.headers as Record<string, string>;
      expect(new Webhook(endpoint.signingSecret).verify(received?.body ?? '', headers)).toMatchObject({
        to: endpoint.id,
      });
      const { id } = await account.deliveryOf(event, ({ status }) => status === 'delivered');
      const [attempt] = (await account.delivery(id)).attempts;
      expect(attempt?.request).toMatchObject({
        url: `${new URL(receiver.url).origin}/other/100?a=b`,
        headers: { 'x-type': 'invoice.paid' },
      });
    });

    it('by a spec pick, omit, rename and set, with templates for headers and path', async () => {
      await endpointWith(
        {
          kind: 'declarative',
          spec: {
            pick: ['id', 'data'],
            omit: ['data.card'],
            rename: [{ from: 'data.amount', to: 'data.total' }],
            set: [{ path: 'source', value: 'posthorn' }],
            headers: { 'x-type': '{{ event.type | upcase }}' },
            path: '/{{ event.data.amount }}',
          },
        },
        { lane },
      );
      const event = await account.publish({ data: { amount: 7, card: '4242' } });
      const [received] = await receiver.got(1);
      expect(JSON.parse(received?.body ?? '')).toEqual({
        id: event.id,
        data: { total: 7 },
        source: 'posthorn',
      });
      expect([received?.path, received?.headers['x-type']]).toEqual(['/7', 'INVOICE.PAID']);
    });

    it('leave the bytes of what they do not change', async () => {
      await endpointWith({ kind: 'declarative', spec: { headers: { 'x-a': 'b' } } }, { lane });
      const body = '{"type":"invoice.paid","data":{"n":12345678901234567890,"a":1.0,"a":2}}';
      await system.ok('POST', `${account.path}/events`, body);
      const [received] = await receiver.got(1);
      expect(received?.body).toContain('"data":{"n":12345678901234567890,"a":1.0,"a":2}}');
    });

    it('drop an event by null: it is skipped, and is not tried again', async () => {
      await endpointWith(javascript('const transform = ({ data }) => (data.amount > 5 ? {} : null)'), {
        lane,
      });
      const dropped = await account.publish({ data: { amount: 1 } });
      const skipped = await account.deliveryOf(dropped, ({ status }) => status === 'skipped');
      expect(skipped).toMatchObject({
        statusReason: 'transform_dropped',
        attemptCount: 0,
        nextAttemptAt: null,
      });
      const sent = await account.publish({ data: { amount: 6 } });
      await receiver.got(1);
      expect(receiver.received.map(({ headers }) => headers['webhook-id'])).toEqual([sent.id]);
    });

    it('that are mended while the endpoint is paused have what waits tried at once when it is resumed', async () => {
      const endpoint = await endpointWith(BROKEN, { lane, retrySchedule: [A_DAY, A_DAY] });
      const event = await account.publish();
      await account.deliveryOf(event, ({ status }) => status === 'retrying');
      const change = (body: object) => system.ok('PATCH', `${account.path}/endpoints/${endpoint.id}`, body);
      // Neither pause nor resume mends anything.
      for (const paused of [true, false, true]) await change({ paused });
      await system.ok('PUT', pathOf(endpoint), WELL);
      await change({ paused: false });
      const { attemptCount } = await account.deliveryOf(event, ({ status }) => status === 'delivered');
      expect(attemptCount).toBe(2);
    });

    it('that are mended after the backoff of what waits, while the endpoint is paused, have it tried once', async () => {
      const endpoint = await endpointWith(BROKEN, { lane, retrySchedule: [1, A_DAY, A_DAY] });
      const event = await account.publish();
      const { id } = await account.deliveryOf(event, ({ status }) => status === 'retrying');
      const change = (body: object) => system.ok('PATCH', `${account.path}/endpoints/${endpoint.id}`, body);
      await change({ paused: true });
      const row = () =>
        system.sql<{ tell: string | null; tell_next: string | null; over: boolean; attempt_count: number }>(
          'SELECT tell, tell_next, next_attempt_at < now() AS over, attempt_count FROM deliveries WHERE id = $1',
          [fromId('delivery', id)],
        );
      await until(row, ([at]) => at?.over === true && at.tell === null);
      receiver.answers((response) => response.writeHead(500).end());
      await system.ok('PUT', pathOf(endpoint), WELL);
      await change({ paused: false });
      await receiver.got(1);
      await until(row, ([at]) => at?.attempt_count === 2 && at.tell === null && at.tell_next === null);
      receiver.answers((response) => response.end());
      await system.ok('POST', `${account.path}/deliveries/${id}/retry`);
      await account.deliveryOf(event, ({ status }) => status === 'delivered');
      const { attempts } = await account.delivery(id);
      expect(attempts.map(({ trigger }) => trigger)).toEqual(['schedule', 'schedule', 'manual']);
    });

    it('fail without anything being sent, and what waits is tried at once when they are mended', async () => {
      const endpoint = await endpointWith(BROKEN, { lane, retrySchedule: [A_DAY, A_DAY] });
      const events = [await account.publish(), await account.publish()];
      for (const event of events) {
        const { id } = await account.deliveryOf(event, ({ status }) => status === 'retrying');
        const delivery = await account.delivery(id);
        expect(delivery).toMatchObject({ statusReason: 'transform_error', attemptCount: 1 });
        expect(delivery.attempts).toEqual([
          expect.objectContaining({
            outcome: 'transform',
            errorCode: 'transform_error',
            errorDetail: "TypeError: cannot read property 'nothing' of undefined (line 1)",
            request: null,
            response: null,
          }),
        ]);
      }
      expect(receiver.received).toEqual([]);
      await system.ok('PUT', pathOf(endpoint), WELL);
      const received = await receiver.got(2);
      expect(received.map(({ body }) => body)).toEqual(['{"mended":100}', '{"mended":100}']);
      for (const event of events) {
        const { id } = await account.deliveryOf(event, ({ status }) => status === 'delivered');
        expect((await account.delivery(id)).attempts.map(({ outcome }) => outcome)).toEqual([
          'transform',
          'delivered',
        ]);
      }
    });

    it('that never end cost others nothing but their own deliveries', async () => {
      const hostile = await endpointWith(UNSTOPPABLE, {
        lane,
        eventTypes: ['hostile'],
        retrySchedule: [A_DAY],
      });
      const others = await system.account();
      const healthy = await others.endpoint({ url: receiver.url, lane });
      await system.ok('PUT', pathOf(healthy, others), WELL);
      const plain = await others.endpoint({ url: receiver.url, lane });
      const bad = await Promise.all(Array.from({ length: 8 }, () => account.publish({ type: 'hostile' })));
      const good = [];
      for (let count = 0; count < 10; count += 1) good.push(await others.publish());
      await receiver.got(20);
      for (const event of good)
        for (const endpoint of [healthy, plain])
          expect(
            await others.deliveryOf(event, ({ status }) => status === 'delivered', endpoint),
          ).toMatchObject({
            attemptCount: 1,
          });
      for (const event of bad) {
        const { id } = await account.deliveryOf(event, ({ status }) => status === 'retrying', hostile);
        expect((await account.delivery(id)).attempts).toMatchObject([
          { outcome: 'transform', errorDetail: 'ran longer than 100 ms' },
        ]);
      }
    });
  });

  test.each([
    ['to another host', '{ path: "//evil.example/" , headers: {} }', null],
    ['to a URL', '{ path: "https://evil.example/" }', 'the path must begin with'],
    ['by a URL', '{ url: "https://evil.example/" }', 'transform returned url'],
    [
      'with a signature of their own',
      '{ headers: { "Webhook-Signature": "v1,x" } }',
      'is set by Posthorn itself',
    ],
    ['with a line break', '{ headers: { "x-a": "a\\r\\nx-b: c" } }', 'must be printable ASCII'],
  ])('do not send %s', async (_, result, detail) => {
    await endpointWith(javascript(`const transform = () => (${result})`), { retrySchedule: [A_DAY] });
    const event = await account.publish();
    if (detail === null) {
      const [received] = await receiver.got(1);
      expect(received?.path).toBe('//evil.example/');
      return;
    }
    const { id } = await account.deliveryOf(event, ({ status }) => status === 'retrying');
    expect((await account.delivery(id)).attempts).toMatchObject([
      { errorCode: 'transform_error', errorDetail: expect.stringContaining(detail) },
    ]);
    expect(receiver.received).toEqual([]);
  });

  it('that fail use up the schedule, and do no harm to the health of the endpoint', async () => {
    const endpoint = await endpointWith(BROKEN, { retrySchedule: [0, 0] });
    const event = await account.publish();
    const failed = await account.deliveryOf(event, ({ status }) => status === 'failed');
    expect(failed).toMatchObject({ statusReason: 'exhausted', attemptCount: 3 });
    await system.ok('PUT', pathOf(endpoint), WELL);
    const sent = await account.publish();
    await account.deliveryOf(sent, ({ status }) => status === 'delivered');
    const health = await system.ok<EndpointHealthShown>(
      'GET',
      `${account.path}/endpoints/${endpoint.id}/health`,
    );
    expect(health).toMatchObject({
      state: 'healthy',
      failingSince: null,
      consecutiveFailures: 0,
      lastError: null,
    });
    expect(receiver.received).toHaveLength(1);
  });

  it('that fail are told to the owner, once', async () => {
    const teller = await Receiver.start();
    await account.endpoint({ url: teller.url, eventTypes: ['posthorn.endpoint.transform_failing'] });
    // None ends meanwhile: of what follows the first thing an account is told in a message a minute.
    const endpoint = await endpointWith(BROKEN, { retrySchedule: [3600] });
    for (let count = 0; count < 3; count += 1) await account.publish();
    const [told] = await teller.got(1);
    expect(JSON.parse(told?.body ?? '')).toMatchObject({
      type: 'posthorn.endpoint.transform_failing',
      data: {
        endpointId: endpoint.id,
        endpointOrigin: new URL(receiver.url).origin,
        lastError: 'transform_error',
      },
    });
    const last = await account.publish();
    await account.deliveryOf(last, ({ status }) => status === 'retrying', endpoint);
    expect(await notices()).toHaveLength(1);
    // An hour later it is news again.
    await system.sql(
      `UPDATE endpoints SET transform_warned_at = now() - interval '61 minutes' WHERE transform_warned_at IS NOT NULL`,
    );
    await account.publish();
    expect(await until(notices, ({ length }) => length > 1)).toHaveLength(2);
    await teller.stop();
  });

  it('are kept in versions, of which any can be put in force again', async () => {
    const endpoint = await endpointWith(WELL);
    const shown = await system.ok<TransformationShown>('GET', pathOf(endpoint));
    expect(shown).toMatchObject({ ...WELL, spec: null, version: 1, enabled: true });
    const second = await system.ok<TransformationShown>('PUT', pathOf(endpoint), {
      kind: 'declarative',
      spec: { omit: ['data'] },
    });
    expect(second).toMatchObject({ kind: 'declarative', code: null, spec: { omit: ['data'] }, version: 2 });
    const again = await system.ok<TransformationShown>('PUT', pathOf(endpoint), {
      kind: 'declarative',
      spec: { omit: ['data'] },
    });
    expect(again).toEqual(second);

    const back = await system.ok<TransformationShown>('POST', `${pathOf(endpoint)}/rollback`, { version: 1 });
    expect(back).toMatchObject({ ...WELL, version: 1 });
    await account.publish();
    expect((await receiver.got(1))[0]?.body).toBe('{"mended":100}');
    const { data } = await system.ok<{ data: VersionShown[] }>('GET', `${pathOf(endpoint)}/versions`);
    expect(data.map(({ version, current }) => [version, current])).toEqual([
      [2, false],
      [1, true],
    ]);
    expect(
      await system.ok('PUT', pathOf(endpoint), javascript('const transform = () => ({})')),
    ).toMatchObject({ version: 3 });

    const none = await system.call('POST', `${pathOf(endpoint)}/rollback`, { version: 9 });
    expect([none.status, none.body]).toMatchObject([422, { errors: [{ pointer: '/version' }] }]);
  });

  it('are kept in the latest 50 versions, page by page', async () => {
    const endpoint = await account.endpoint({ url: receiver.url });
    for (let number = 1; number <= 53; number += 1)
      await system.ok('PUT', pathOf(endpoint), {
        kind: 'declarative',
        spec: { set: [{ path: 'n', value: number }] },
      });
    const first = await system.ok<{ data: VersionShown[]; nextCursor: string }>(
      'GET',
      `${pathOf(endpoint)}/versions?limit=30`,
    );
    const rest = await system.ok<{ data: VersionShown[]; nextCursor: null }>(
      'GET',
      `${pathOf(endpoint)}/versions?limit=30&cursor=${first.nextCursor}`,
    );
    const numbers = [...first.data, ...rest.data].map(({ version }) => version);
    expect(numbers).toEqual(Array.from({ length: 50 }, (_, index) => 53 - index));
    expect(rest.nextCursor).toBeNull();
  });

  it('can be switched off and on, and removed', async () => {
    const endpoint = await endpointWith({ ...WELL, enabled: false });
    await account.publish();
    expect((await receiver.got(1))[0]?.body).toContain('"data":{"amount":100}');
    await system.ok('PUT', pathOf(endpoint), WELL);
    await account.publish();
    expect((await receiver.got(2))[1]?.body).toBe('{"mended":100}');
    await system.ok('DELETE', pathOf(endpoint));
    await account.publish();
    expect((await receiver.got(3))[2]?.body).toContain('"data":{"amount":100}');
    for (const [method, path] of [
      ['GET', ''],
      ['DELETE', ''],
      ['GET', '/versions'],
      ['POST', '/rollback'],
    ] as const) {
      const body = method === 'POST' ? { version: 1 } : undefined;
      expect((await system.call(method, `${pathOf(endpoint)}${path}`, body)).status).toBe(404);
    }
  });

  it('that were removed let go at once what they had kept from being sent', async () => {
    const endpoint = await endpointWith(BROKEN, { retrySchedule: [A_DAY] });
    const event = await account.publish();
    await account.deliveryOf(event, ({ status }) => status === 'retrying');
    await system.ok('DELETE', pathOf(endpoint));
    expect((await receiver.got(1))[0]?.body).toContain(event.id);
  });

  it('leave nothing behind when their endpoint is deleted', async () => {
    const endpoint = await endpointWith(WELL);
    await system.ok('DELETE', `${account.path}/endpoints/${endpoint.id}`);
    expect((await system.call('GET', pathOf(endpoint))).status).toBe(404);
    expect((await system.call('PUT', pathOf(endpoint), WELL)).status).toBe(404);
    const [left] = await system.sql<{ count: number }>(
      `SELECT count(*)::int AS count FROM transformation_versions v JOIN endpoints e ON e.id = v.endpoint_id
        WHERE e.deleted_at IS NOT NULL`,
    );
    expect(left?.count).toBe(0);
  });

  test.each<[string, object, string]>([
    ['code that cannot be read', javascript('function transform( {'), '/code'],
    ['code without transform', javascript('function transfrom() {}'), '/code'],
    ['code that does not end when it is loaded', javascript('for (;;); function transform() {}'), '/code'],
    ['code of more than 64 KiB', javascript(`const transform = () => "${'é'.repeat(33_000)}"`), '/code'],
    ['code with a NUL', javascript('const transform = () => "\u0000"'), '/code'],
    ['no code', { kind: 'javascript' }, '/code'],
    ['code beside a spec', { kind: 'declarative', spec: {}, code: 'x' }, '/code'],
    ['another kind', { kind: 'python', code: 'x' }, '/kind'],
    [
      'a template that cannot be read',
      { kind: 'declarative', spec: { headers: { 'x-a': '{{' } } },
      '/spec/headers/x-a',
    ],
    [
      'a filter that there is not',
      { kind: 'declarative', spec: { path: '/{{ event.id | nope }}' } },
      '/spec/path',
    ],
    [
      'a header that is not theirs',
      { kind: 'declarative', spec: { headers: { 'webhook-id': 'x' } } },
      '/spec/headers/webhook-id',
    ],
    ['what is no path', { kind: 'declarative', spec: { omit: ['data..x'] } }, '/spec/omit/0'],
    [
      'many places for one value',
      { kind: 'declarative', spec: { set: [{ path: 'a[*]', value: 1 }] } },
      '/spec/set/0/path',
    ],
    [
      'a spec that is too large',
      { kind: 'declarative', spec: { set: [{ path: 'a', value: 'x'.repeat(70_000) }] } },
      '/spec',
    ],
    ['unknown fields', { kind: 'declarative', spec: { drop: true } }, '/spec'],
  ])('are refused for %s', async (_, body, pointer) => {
    const endpoint = await account.endpoint({ url: receiver.url });
    const answer = await system.call<{ code: string; errors: { pointer: string }[] }>(
      'PUT',
      pathOf(endpoint),
      body,
    );
    expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed']);
    expect(answer.body.errors[0]?.pointer).toContain(pointer);
    expect((await system.call('GET', pathOf(endpoint))).status).toBe(404);
  });

  it('are refused when they are nested too deeply to be kept', async () => {
    const endpoint = await account.endpoint({ url: receiver.url });
    const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`;
    const body = `{"kind":"declarative","spec":{"set":[{"path":"a","value":${deep}}]}}`;
    expect((await system.call('PUT', pathOf(endpoint), body)).status).toBe(422);
  });

  it('are bounded by the plan, which says so', async () => {
    const endpoint = await account.endpoint({ url: receiver.url });
    const spec = { kind: 'declarative', spec: {} };
    const on = async (transformations: string | null) => {
      const name = `transforms-${transformations ?? 'all'}`;
      await system.ok('POST', '/plans', { name, limits: { transformations } });
      await system.ok('PATCH', account.path, { plan: name });
      await everywhere();
      return name;
    };
    await on(null);
    await system.ok('PUT', pathOf(endpoint), WELL);
    await system.ok('PUT', pathOf(endpoint), spec);
    const declarative = await on('declarative');
    const limit = { code: 'plan_limit_exceeded', limit: 'transformations', plan: declarative };
    await system.ok('PUT', pathOf(endpoint), spec);
    expect(await system.call('PUT', pathOf(endpoint), WELL)).toMatchObject({ status: 422, body: limit });
    const back = await system.call('POST', `${pathOf(endpoint)}/rollback`, { version: 1 });
    expect(back).toMatchObject({ status: 422, body: { ...limit, errors: [{ pointer: '/version' }] } });
    const sample = { event: { type: 'a', data: 1 } };
    const tried = await system.call('POST', `${pathOf(endpoint)}/test`, { code: WELL.code, ...sample });
    expect(tried).toMatchObject({ status: 422, body: limit });
    await on('none');
    expect(await system.call('PUT', pathOf(endpoint), spec)).toMatchObject({
      status: 422,
      body: { limit: 'transformations' },
    });
    await on('javascript');
    await system.ok('PUT', pathOf(endpoint), WELL);
  });

  it('of another account are not found', async () => {
    const endpoint = await endpointWith(WELL);
    const other = await system.account();
    const sample = { event: { type: 'a', data: 1 } };
    for (const [method, path, body] of [
      ['GET', '', undefined],
      ['PUT', '', WELL],
      ['DELETE', '', undefined],
      ['GET', '/versions', undefined],
      ['POST', '/rollback', { version: 1 }],
      ['POST', '/test', { code: WELL.code, ...sample }],
    ] as const)
      expect([
        method,
        path,
        (await system.call(method, `${pathOf(endpoint, other)}${path}`, body)).status,
      ]).toEqual([method, path, 404]);
    expect(await system.ok('GET', pathOf(endpoint))).toMatchObject(WELL);
  });

  it('leave their digest in the audit log, and nothing of the code', async () => {
    const endpoint = await endpointWith(javascript('const key = "codesecret"; const transform = () => ({})'));
    await system.ok('PUT', pathOf(endpoint), { ...WELL, enabled: false });
    await system.ok('POST', `${pathOf(endpoint)}/rollback`, { version: 1 });
    await system.ok('DELETE', pathOf(endpoint));
    const { data } = await system.ok<{ data: { action: string; changes: Record<string, unknown> }[] }>(
      'GET',
      `${account.path}/audit-log?resourceId=${endpoint.id}&limit=4`,
    );
    const digest = expect.stringMatching(/^[0-9a-f]{64}$/);
    expect(data).toMatchObject([
      { action: 'transformation.delete', changes: { version: { from: 1, to: null } } },
      {
        action: 'transformation.rollback',
        changes: { version: { from: 2, to: 1 }, sha256: { from: digest, to: digest } },
      },
      {
        action: 'transformation.update',
        changes: { version: { from: 1, to: 2 }, enabled: { from: true, to: false } },
      },
      {
        action: 'transformation.update',
        changes: { kind: { from: null, to: 'javascript' }, enabled: { to: true } },
      },
    ]);
    expect(JSON.stringify(data)).not.toContain('codesecret');
  });
});
