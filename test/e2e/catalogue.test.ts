import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { EndpointShown } from '../../src/endpoints/endpoints.schema.js';
import type {
  EventTypeShown,
  EventTypeUsageShown,
  Imported,
} from '../../src/event-types/event-types.schema.js';
import { everywhere } from '../support/everywhere.js';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

interface Refusal {
  code: string;
  errors: { pointer: string; detail: string }[];
}

const INVOICE = {
  type: 'object',
  required: ['amount'],
  properties: { amount: { type: 'integer' }, currency: { type: 'string', pattern: '^[A-Z]{3}$' } },
};
const DAY_MS = 86_400_000;
const inDays = (days: number) => new Date(Date.now() + days * DAY_MS).toISOString();

describe('the catalogue of event types', () => {
  let system: System;
  let account: Account;
  let receiver: Receiver;
  let serial = 0;
  /** An event type that no other test knows. */
  let type: string;

  const put = (body: Record<string, unknown>, name = type) =>
    system.ok<EventTypeShown>('PUT', `/event-types/${name}`, body);
  const refusalOf = async (method: string, path: string, body: unknown) => {
    const answer = await system.call<Refusal>(method, path, body);
    return [answer.status, answer.body.code, answer.body.errors.map(({ pointer }) => pointer)];
  };
  const patchVersion = (version: string, body: Record<string, unknown>) =>
    system.ok<EventTypeShown>('PATCH', `/event-types/${type}/versions/${version}`, body);
  const endpointOf = ({ id }: { id: string }) =>
    system.ok<EndpointShown>('GET', `${account.path}/endpoints/${id}`);
  const delivered = (event: { id: string }) =>
    account.deliveryOf(event, ({ status }) => status === 'delivered');

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    serial += 1;
    type = `invoice.paid${serial}`;
    account = await system.account();
    receiver = await Receiver.start();
  });
  afterEach(() => receiver.stop());

  describe('of a type', () => {
    it('has what it is, and its versions with schemas and examples', async () => {
      const made = await put({
        description: 'Somebody paid',
        group: 'Billing',
        priority: 'high',
        versions: [
          { version: '1' },
          { version: '2', schema: INVOICE, examples: [{ amount: 5 }], afterSunset: 'move' },
        ],
      });
      expect(made).toMatchObject({
        description: 'Somebody paid',
        group: 'Billing',
        priority: 'high',
        versions: [
          {
            version: '1',
            schema: null,
            examples: [],
            deprecatedAt: null,
            sunsetAt: null,
            afterSunset: 'stop',
          },
          { version: '2', schema: INVOICE, examples: [{ amount: 5 }], afterSunset: 'move' },
        ],
      });
      expect(await system.ok('GET', `/event-types/${type}`)).toEqual(made);
      const { data } = await system.ok<{ data: EventTypeShown[] }>('GET', '/event-types?limit=250');
      const listed = data.find(({ name }) => name === type);
      expect(listed?.versions[1]).toMatchObject({ version: '2', afterSunset: 'move' });
      expect(listed?.versions[1]).not.toHaveProperty('schema');
    });

    it('keeps its versions when it is registered again without any', async () => {
      const first = await put({ group: 'Billing', versions: [{ version: '1', schema: INVOICE }] });
      expect(await put({ priority: 'low' })).toMatchObject({
        priority: 'low',
        group: null,
        versions: first.versions,
      });
      expect((await put({ versions: [] })).versions).toEqual([]);
    });

    it('gets a version more, which is the newest, and is changed in one', async () => {
      await put({ versions: [{ version: '1' }] });
      const path = `/event-types/${type}/versions`;
      const added = await system.call<EventTypeShown>('POST', path, { version: '2', schema: INVOICE });
      expect([added.status, added.body.versions.map(({ version }) => version)]).toEqual([201, ['1', '2']]);
      expect(await refusalOf('POST', path, { version: '2' })).toEqual([
        422,
        'validation_failed',
        ['/version'],
      ]);
      const at = inDays(1);
      const changed = await patchVersion('2', { deprecatedAt: at });
      expect(changed.versions[1]).toMatchObject({ deprecatedAt: at, schema: INVOICE });
      expect(changed.versions[0]).toEqual(added.body.versions[0]);
      expect((await patchVersion('2', { deprecatedAt: null, schema: null })).versions[1]).toMatchObject({
        deprecatedAt: null,
        schema: null,
      });
      for (const [method, where] of [
        ['PATCH', `${path}/3`],
        ['PATCH', `${path}/%00`],
        ['PATCH', `/event-types/never.there/versions/1`],
        ['POST', '/event-types/never.there/versions'],
        ['GET', '/event-types/never.there/usage'],
      ] as const) {
        const body = method === 'GET' ? undefined : method === 'POST' ? { version: '1' } : {};
        expect([where, (await system.call(method, where, body)).status]).toEqual([where, 404]);
      }
    });

    it.each([
      ['a remote reference', { schema: { $ref: 'https://example.com/x.json' } }, '/schema/$ref'],
      [
        'a pattern that backtracks',
        { schema: { properties: { a: { pattern: '(a)\\1' } } } },
        '/schema/properties/a/pattern',
      ],
      ['what is no schema', { schema: { type: 'text' } }, '/schema'],
      [
        'another dialect',
        { schema: { $schema: 'http://json-schema.org/draft-07/schema#' } },
        '/schema/$schema',
      ],
      ['a huge enum', { schema: { enum: Array.from({ length: 20_000 }, (_, index) => index) } }, '/schema'],
      ['a schema of many bytes', { schema: { const: 'x'.repeat(300_000) } }, '/schema'],
      [
        'an example that does not match',
        { schema: INVOICE, examples: [{ amount: 1 }, { amount: 'x' }] },
        '/examples/1/amount',
      ],
      ['a sunset before the deprecation', { deprecatedAt: inDays(2), sunsetAt: inDays(1) }, '/sunsetAt'],
    ])('refuses %s', async (_, version, pointer) => {
      await put({});
      expect(await refusalOf('POST', `/event-types/${type}/versions`, { version: '1', ...version })).toEqual([
        422,
        'validation_failed',
        [pointer],
      ]);
      expect(
        await refusalOf('PUT', `/event-types/${type}`, {
          versions: [{ version: '0' }, { version: '1', ...version }],
        }),
      ).toEqual([422, 'validation_failed', [`/versions/1${pointer}`]]);
      expect(await system.ok('GET', `/event-types/${type}`)).toMatchObject({ versions: [] });
    });

    it('refuses what is nested without end, and goes on', async () => {
      const deep = `${'{"not":'.repeat(20_000)}true${'}'.repeat(20_000)}`;
      for (const body of [
        `{"versions":[{"version":"1","schema":${deep}}]}`,
        `{"versions":[{"version":"1","examples":[${deep}]}]}`,
      ]) {
        const answer = await system.call<Refusal>('PUT', `/event-types/${type}`, body);
        expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed']);
      }
      const hostile = `{"versions":[{"version":"1","schema":{"properties":{"__proto__":{"type":"string"}}},"examples":[{"__proto__":"x"}]}]}`;
      const made = await system.call('PUT', `/event-types/${type}`, hostile);
      expect([made.status, made.text.includes('"__proto__":{"type":"string"}')]).toEqual([200, true]);
    });
  });

  describe('and the endpoints', () => {
    it('pin the newest versions of what they take, unless they name others', async () => {
      await put({ versions: [{ version: '1' }, { version: '2' }] });
      const other = `${type}.other`;
      await put({ versions: [{ version: '7' }] }, other);
      const first = await account.endpoint({ url: receiver.url, eventTypes: [type] });
      expect(first.eventVersions).toEqual({ [type]: '2' });
      const all = await account.endpoint({ url: receiver.url, eventVersions: { [type]: '1' } });
      expect(all.eventVersions).toMatchObject({ [type]: '1', [other]: '7' });
      await system.ok('POST', `/event-types/${type}/versions`, { version: '3' });
      expect(await endpointOf(first)).toMatchObject({ eventVersions: { [type]: '2' } });
      const patch = (body: unknown) =>
        system.ok<EndpointShown>('PATCH', `${account.path}/endpoints/${first.id}`, body);
      expect((await patch({ description: 'x' })).eventVersions).toEqual({ [type]: '2' });
      expect((await patch({ eventTypes: null })).eventVersions).toMatchObject({ [type]: '2', [other]: '7' });
      expect((await patch({ eventVersions: { [type]: null } })).eventVersions).toMatchObject({ [type]: '3' });
      expect((await patch({ eventVersions: { [type]: '1' } })).eventVersions).toMatchObject({
        [type]: '1',
        [other]: '7',
      });
      const { data } = await system.ok<{ data: { action: string; changes: Record<string, unknown> }[] }>(
        'GET',
        `${account.path}/audit-log?limit=1`,
      );
      expect(data[0]).toMatchObject({
        action: 'endpoint.update',
        changes: { eventVersions: { to: expect.objectContaining({ [type]: '1' }) } },
      });
    });

    it('are refused versions that are not registered, or over', async () => {
      await put({ versions: [{ version: '1', sunsetAt: inDays(-1) }, { version: '2' }] });
      for (const eventVersions of [{ [type]: '3' }, { 'never.there': '1' }, { [type]: '1' }]) {
        const [name = ''] = Object.keys(eventVersions);
        expect(
          await refusalOf('POST', `${account.path}/endpoints`, { url: receiver.url, eventVersions }),
        ).toEqual([422, 'validation_failed', [`/eventVersions/${name}`]]);
      }
    });
  });

  describe.each(['durable', 'express'])('and deliveries in the lane %s', (lane) => {
    const endpoint = (body: Record<string, unknown> = {}) =>
      account.endpoint({ url: receiver.url, lane, eventTypes: [type], ...body });

    it('come as they were published, and say in which version', async () => {
      await put({ versions: [{ version: '1' }, { version: '2' }] });
      await endpoint();
      const got = await receiver.next(() => account.publish({ type, version: '1' }));
      expect(JSON.parse(got.body)).toMatchObject({ type, version: '1' });
      expect(got.headers).not.toHaveProperty('deprecation');
      const [delivery] = await account.deliveries();
      expect((await account.delivery(delivery?.id ?? '')).version).toBe('1');
    });

    it('say that their version is deprecated, and when it ends, from the next attempt on', async () => {
      await put({ versions: [{ version: '1' }, { version: '2' }] });
      await endpoint();
      await patchVersion('1', { deprecatedAt: '2026-01-01T00:00:00Z', sunsetAt: '2099-12-31T23:59:59Z' });
      const marked = { deprecation: '@1767225600', sunset: 'Thu, 31 Dec 2099 23:59:59 GMT' };
      await everywhere();
      const old = await receiver.next(() => account.publish({ type, version: '1' }));
      expect(old.headers).toMatchObject(marked);
      const event = await account.publish({ type, version: '1' });
      const { attempts } = await account.delivery((await delivered(event)).id);
      expect(attempts[0]?.request?.headers).toMatchObject(marked);
      const fresh = await receiver.next(() => account.publish({ type, version: '2' }));
      expect(fresh.headers).not.toHaveProperty('sunset');
    });

    it('stop once the pinned version has come to its sunset', async () => {
      await put({ versions: [{ version: '1' }, { version: '2' }] });
      await endpoint({ eventVersions: { [type]: '1' } });
      await delivered(await account.publish({ type, version: '1' }));
      const at = new Date(Date.now() + 1_500);
      await patchVersion('1', { sunsetAt: at.toISOString() });
      await delivered(await account.publish({ type, version: '1' }));
      await sleep(at.getTime() - Date.now());
      const event = await account.publish({ type, version: '2' });
      const skipped = await account.deliveryOf(event, ({ status }) => status !== 'pending');
      expect(skipped).toMatchObject({ status: 'skipped', statusReason: 'version_sunset', attemptCount: 0 });
      expect(receiver.received).toHaveLength(2);

      // Once it goes on, what was skipped can be sent.
      await patchVersion('1', { sunsetAt: null });
      const again = await until(
        async () => {
          await system.call('POST', `${account.path}/deliveries/${skipped.id}/retry`);
          return account.deliveryOf(event, ({ status }) => status === 'delivered' || status === 'skipped');
        },
        ({ status }) => status === 'delivered',
      );
      expect(again.attemptCount).toBe(1);
    });

    it('go on where the pin moves to the newest instead', async () => {
      await put({ versions: [{ version: '1', afterSunset: 'move' }, { version: '2' }] });
      await endpoint({ eventVersions: { [type]: '1' } });
      await patchVersion('1', { sunsetAt: inDays(-1) });
      await delivered(await account.publish({ type, version: '2' }));
    });

    it('are counted by version', async () => {
      await put({ versions: [{ version: '1' }, { version: '2' }] });
      await endpoint({ eventVersions: { [type]: '1' } });
      await endpoint();
      await account.endpoint({ url: receiver.url, eventTypes: ['other.type'] });
      await everywhere();
      for (const version of ['1', '2', '2', '9']) await account.publish({ type, version });
      const usage = await until(
        () => system.ok<EventTypeUsageShown>('GET', `/event-types/${type}/usage`),
        ({ versions, others }) =>
          others.deliveries.last7Days === 2 &&
          others.events.last7Days === 1 &&
          versions[1]?.deliveries.last7Days === 4 &&
          versions[1].events.last7Days === 2,
      );
      const twice = (count: number) => ({ last24Hours: count, last7Days: count });
      expect(usage).toEqual({
        type,
        versions: [
          { version: '1', events: twice(1), deliveries: twice(2), endpoints: 1 },
          { version: '2', events: twice(2), deliveries: twice(4), endpoints: 1 },
        ],
        others: { events: twice(1), deliveries: twice(2) },
      });
    });
  });

  describe('as a document', () => {
    const importing = (document: unknown, query = '') =>
      system.ok<Imported>('POST', `/event-types/import${query}`, document);

    it.each(['openapi', 'asyncapi'])('of %s changes nothing when it is read again', async (format) => {
      await put({
        description: 'Paid',
        group: 'Billing',
        priority: 'high',
        versions: [
          {
            version: '2025-01-01',
            schema: { $defs: { money: INVOICE }, properties: { a: { $ref: '#/$defs/money' } } },
            examples: [{ a: { amount: 1 } }],
            deprecatedAt: inDays(-1),
            sunsetAt: inDays(30),
            afterSunset: 'move',
          },
          { version: '10', schema: false },
          { version: '9' },
        ],
      });
      await put({}, `${type}.bare`);
      const names = [type, `${type}.bare`];
      const before = await Promise.all(names.map((name) => system.ok('GET', `/event-types/${name}`)));
      const document = await system.ok('GET', `/event-types/export?format=${format}`);
      const result = await importing(document);
      expect(result).toMatchObject({ dryRun: false, created: [], updated: [], refused: [] });
      expect(result.unchanged).toEqual(expect.arrayContaining(names));
      expect(await Promise.all(names.map((name) => system.ok('GET', `/event-types/${name}`)))).toEqual(
        before,
      );

      // And makes all of it where there was nothing.
      for (const name of names) await system.call('DELETE', `/event-types/${name}`);
      expect((await importing(document)).created).toEqual(expect.arrayContaining(names));
      const after = await system.ok<EventTypeShown>('GET', `/event-types/${type}`);
      const plain = ({ versions, ...rest }: EventTypeShown) => ({
        ...rest,
        createdAt: null,
        updatedAt: null,
        versions: versions.map((version) => ({ ...version, createdAt: null })),
      });
      expect(plain(after)).toEqual(plain(before[0] as unknown as EventTypeShown));
    });

    it('tells what it would do, does it, and leaves alone what is refused', async () => {
      await put({ priority: 'low', versions: [{ version: '1', schema: INVOICE }] });
      const operation = (schema: unknown, more = {}) => ({
        post: { requestBody: { content: { 'application/json': { schema, ...more } } } },
      });
      const document = {
        openapi: '3.1.0',
        webhooks: {
          [type]: operation({ $ref: '#/components/schemas/Invoice' }, { example: { total: 1 } }),
          [`${type}.new`]: operation(true),
          [`${type}.slow`]: operation({ properties: { a: { pattern: '(?=a)' } } }),
          [`${type}.far`]: operation({ $ref: 'https://example.com/a.json' }),
          [`${type}.example`]: operation({ type: 'number' }, { examples: { one: { value: 'x' } } }),
          'not a type': operation(true),
        },
        components: { schemas: { Invoice: { required: ['total'] } } },
      };
      const expected = {
        created: [`${type}.new`],
        updated: [type],
        unchanged: [],
        refused: expect.arrayContaining(
          [
            `/webhooks/${type}.slow/post/requestBody/content/application~1json/schema/properties/a/pattern`,
            `/webhooks/${type}.far/post/requestBody/content/application~1json/schema/$ref`,
            `/webhooks/${type}.example/post/requestBody/content/application~1json/examples/one/value`,
            '/webhooks/not a type',
          ].map((pointer) => ({ pointer, detail: expect.any(String) })),
        ),
      };
      const dry = await importing(document, '?dryRun=true');
      expect(dry).toEqual({ dryRun: true, ...expected });
      expect(dry.refused).toHaveLength(4);
      expect((await system.call('GET', `/event-types/${type}.new`)).status).toBe(404);
      expect(await importing(document)).toEqual({ dryRun: false, ...expected });
      expect(await system.ok('GET', `/event-types/${type}`)).toMatchObject({
        priority: 'low',
        versions: [
          { version: '1', examples: [{ total: 1 }], schema: { $defs: { Invoice: { required: ['total'] } } } },
        ],
      });
      expect((await importing(document)).unchanged).toEqual([type, `${type}.new`]);
    });

    it('is refused where it is none, or hostile', async () => {
      const deep = `{"openapi":"3.1.0","webhooks":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}}`;
      for (const [document, pointer] of [
        [{}, ''],
        [{ openapi: '3.0.0' }, '/openapi'],
        [{ openapi: '3.1.0' }, '/webhooks'],
        [{ asyncapi: '9.0.0' }, '/asyncapi'],
        [deep, ''],
      ] as const)
        expect(await refusalOf('POST', '/event-types/import', document)).toEqual([
          422,
          'validation_failed',
          [pointer],
        ]);
      const polluting = `{"openapi":"3.1.0","webhooks":{"__proto__":{"post":{}}}}`;
      const made = await system.call<Imported>('POST', '/event-types/import', polluting);
      expect([made.status, made.body.created]).toEqual([200, ['__proto__']]);
      expect(await system.ok('GET', '/event-types/export')).toHaveProperty('webhooks');
      await system.call('DELETE', '/event-types/__proto__');
    });
  });

  it('leaves an entry in the audit log for each change, and no schema in it', async () => {
    await put({ versions: [{ version: '1', schema: INVOICE }] });
    await system.ok('POST', `/event-types/${type}/versions`, { version: '2' });
    await patchVersion('1', { deprecatedAt: inDays(0) });
    const { data } = await system.ok<{ data: { action: string; changes: unknown }[] }>(
      'GET',
      `/audit-log?resourceId=${type}`,
    );
    expect(data.map(({ action }) => action)).toEqual([
      'event_type.update',
      'event_type.update',
      'event_type.create',
    ]);
    expect(data[2]?.changes).toMatchObject({
      versions: {
        from: null,
        to: [{ version: '1', schema: expect.stringMatching(/^sha256:/), examples: null }],
      },
    });
  });
});
