import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { AuditEntry } from '../../src/audit/entry.js';
import {
  callOperation,
  type Ids,
  oneOfEach,
  type Operation,
  operationsOf,
  pathOf,
  readDocument,
} from '../support/api-walk.js';
import { type Account, System } from '../support/system.js';

interface Page {
  data: AuditEntry[];
  nextCursor: string | null;
}

/** Publishing is what the system is for, and no management of it; a test run and a preview change nothing. */
const NOT_AUDITED = [
  'Events.publish',
  'Events.publishBatch',
  'Handshake.post',
  'Preview.preview',
  'Transformations.test',
];

/** What each operation leaves: its action, whose chain, and the resource: one of the path, or the one in the answer. */
const EXPECTED: Record<
  string,
  [
    action: string,
    chain: 'account' | 'answer' | null,
    resource: keyof Ids | 'answer' | 'name' | 'created' | 'conversion',
  ]
> = {
  'Accounts.create': ['account.create', 'answer', 'answer'],
  'Accounts.update': ['account.update', 'account', 'account'],
  'Plans.create': ['plan.create', null, 'name'],
  'Plans.update': ['plan.update', null, 'plan'],
  'Plans.delete': ['plan.delete', null, 'plan'],
  'Lookups.create': ['lookup.create', null, 'name'],
  'Lookups.update': ['lookup.update', null, 'lookup'],
  'Lookups.delete': ['lookup.delete', null, 'lookup'],
  'OperatorKeys.create': ['key.create', null, 'answer'],
  'OperatorKeys.revoke': ['key.revoke', null, 'key'],
  'AccountKeys.create': ['key.create', 'account', 'answer'],
  'AccountKeys.revoke': ['key.revoke', 'account', 'key'],
  'PortalTokens.create': ['portal_token.create', 'account', 'answer'],
  'PortalTokens.revoke': ['portal_token.revoke', 'account', 'token'],
  'Portal.exchange': ['portal_token.exchange', 'account', 'answer'],
  'Endpoints.create': ['endpoint.create', 'account', 'answer'],
  'Endpoints.update': ['endpoint.update', 'account', 'endpoint'],
  'Endpoints.delete': ['endpoint.delete', 'account', 'endpoint'],
  'TestEvents.send': ['endpoint.test', 'account', 'endpoint'],
  'Verification.verify': ['endpoint.verify', 'account', 'endpoint'],
  'Endpoints.readSecret': ['secret.read', 'account', 'endpoint'],
  'Endpoints.rotateSecret': ['secret.rotate', 'account', 'endpoint'],
  'Transformations.put': ['transformation.update', 'account', 'endpoint'],
  'Transformations.rollback': ['transformation.rollback', 'account', 'endpoint'],
  'Transformations.delete': ['transformation.delete', 'account', 'endpoint'],
  'EventTypes.register': ['event_type.update', null, 'type'],
  'EventTypes.delete': ['event_type.delete', null, 'type'],
  'EventTypes.import': ['event_type.create', null, 'created'],
  'EventTypes.addVersion': ['event_type.update', null, 'type'],
  'EventTypes.changeVersion': ['event_type.update', null, 'type'],
  'Conversions.put': ['conversion.update', null, 'conversion'],
  'Conversions.delete': ['conversion.delete', null, 'conversion'],
  'Deliveries.retry': ['delivery.retry', 'account', 'delivery'],
  'Deliveries.cancel': ['delivery.cancel', 'account', 'delivery'],
};

describe('the audit log', () => {
  let system: System;
  let account: Account;
  let operations: Operation[];

  const page = (query = '', path = '/audit-log') => system.ok<Page>('GET', `${path}?limit=250&${query}`);
  const count = async () =>
    (await system.sql<{ count: number }>('SELECT count(*)::int AS count FROM audit_log'))[0]?.count;
  const isWrite = ({ method, operationId }: Operation) =>
    method !== 'GET' && !NOT_AUDITED.includes(operationId);
  const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

  beforeAll(async () => {
    system = await System.start();
    operations = operationsOf(await readDocument(system));
    account = await system.account();
  });
  afterAll(() => system.stop());

  it('gets one entry from every management write and every read of a secret, and none from anything else', async () => {
    const { ids } = await oneOfEach(system);
    const operator = await system.ok<{ id: string; secret: string }>('POST', '/keys', { name: 'ops' });
    const revoked = await system.ok<{ id: string }>('POST', '/keys', { name: 'to be revoked' });
    // A delivery is cancelled before it can be sent again, and what is deleted would be missing for the rest.
    const order = ({ operationId, method }: Operation) =>
      ['Deliveries.cancel', 'Deliveries.retry'].indexOf(operationId) + 1 ||
      (['Transformations.delete', 'Conversions.delete'].includes(operationId)
        ? 3
        : method === 'DELETE'
          ? 4
          : 0);
    await system.ok('POST', '/plans', { name: 'unused' });
    const running = await system.ok<{ id: string }>('POST', `/accounts/${ids.account}/endpoints`, {
      url: 'http://127.0.0.1:4433/',
    });
    const wrong: string[] = [];
    for (const operation of [...operations].sort((one, other) => order(one) - order(other))) {
      const { operationId, template } = operation;
      // Its link comes with a handshake alone, or with a thin event.
      if (template === '/v1/handshakes/{leave}' || template === '/v1/fetch/{fetchToken}') continue;
      if (operationId === 'Deliveries.retry')
        await system.ok('PATCH', `/accounts/${ids.account}/endpoints/${ids.endpoint}`, { paused: false });
      if (operationId === 'Verification.verify')
        await system.ok('PATCH', `/accounts/${ids.account}/endpoints/${ids.endpoint}`, {
          verification: 'ping',
        });
      if (operationId === 'Deliveries.cancel')
        await system.ok('PATCH', `/accounts/${ids.account}/endpoints/${ids.endpoint}`, {
          verification: 'none',
        });
      const named = {
        ...ids,
        // Nothing is sent to one that is paused.
        ...(operationId === 'TestEvents.send' ? { endpoint: running.id } : {}),
        ...(operationId === 'OperatorKeys.revoke' ? { key: revoked.id } : {}),
        // The walk has made it.
        ...(operationId === 'Plans.delete' ? { plan: 'unused' } : {}),
        conversion: `${ids.type}/conversions/${ids.from}/${ids.to}`,
      };
      const isExchange = operationId === 'Portal.exchange';
      const more = isExchange
        ? {
            code: (await system.ok<{ code: string }>('POST', `/accounts/${ids.account}/portal-tokens`, {}))
              .code,
          }
        : {};
      const before = await count();
      const headers = { ...bearer(operator.secret), 'user-agent': `walk/${operationId}` };
      const answer = await callOperation(system, operation, pathOf(template, named), headers, more);
      const told = (what: string) => wrong.push(`${operationId}: ${answer.status}: ${what}`);
      if (answer.status >= 300 && template !== '/metrics') told(answer.text);
      const written = (await count()) ?? 0;
      const expected = EXPECTED[operationId];
      if (!isWrite(operation) && !expected) {
        if (written !== before) told('left an entry');
        continue;
      }
      if (!expected) {
        told('say in this test which entry it leaves');
        continue;
      }
      if (written !== (before ?? 0) + 1) told(`left ${written - (before ?? 0)} entries`);
      const [entry] = (await page()).data;
      const [action, chain, resource] = expected;
      const body =
        answer.text === ''
          ? {}
          : (JSON.parse(answer.text) as {
              id?: string;
              name?: string;
              created?: string[];
            });
      const idOf = (which: string) =>
        which === 'name'
          ? body.name
          : which === 'created'
            ? body.created?.[0]
            : 'id' in body && which === 'answer'
              ? body.id
              : named[which as keyof typeof named];
      expect([operationId, entry]).toEqual([
        operationId,
        {
          id: expect.stringMatching(/^aud_[0-9a-z]{26}$/),
          accountId: chain === null ? null : idOf(chain),
          sequence: expect.any(Number),
          createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
          // Nobody exchanges a code by a key: the token speaks for itself.
          actor: isExchange ? idOf('answer') : operator.id,
          address: '127.0.0.1',
          userAgent: `walk/${operationId}`,
          action,
          resourceId: idOf(resource),
          changes: expect.any(Object),
          requestId: answer.requestId,
          previousHash: entry?.sequence === 1 ? null : expect.stringMatching(/^[0-9a-f]{64}$/),
          hash: expect.stringMatching(/^[0-9a-f]{64}$/),
        },
      ]);
    }
    expect(wrong).toEqual([]);
    expect(operations.filter(isWrite).length).toBeGreaterThanOrEqual(14);
  });

  it('gets none from a request that is refused', async () => {
    const { ids } = await oneOfEach(system);
    const theirs = await oneOfEach(system);
    const weak = await system.ok<{ secret: string }>('POST', '/keys', {
      name: 'x',
      scopes: ['metrics:read'],
    });
    const before = await count();
    const statuses = new Set<number>();
    for (const operation of operations) {
      if (EXPECTED[operation.operationId] === undefined) continue;
      const path = pathOf(operation.template, ids);
      const none = {
        ...ids,
        endpoint: 'ep_00000000000000000000000000',
        delivery: 'x',
        key: 'x',
        token: 'x',
        plan: 'none',
        lookup: 'none',
        type: 'none',
      };
      // A document may hold whatever it likes, but must be one.
      const bad = operation.operationId === 'EventTypes.import' ? { openapi: '3.0.0' } : { unknown: 1 };
      const refused = [
        callOperation(system, operation, path, {}),
        callOperation(system, operation, path, bearer(weak.secret)),
        callOperation(system, operation, path, bearer(theirs.key)),
        operation.bodySchema
          ? callOperation(system, operation, path, bearer(system.rootKey), bad)
          : callOperation(system, operation, pathOf(operation.template, none), bearer(system.rootKey)),
      ];
      for (const { status } of await Promise.all(refused)) statuses.add(status);
    }
    expect([...statuses].sort()).toEqual([400, 401, 403, 404, 422]);
    expect(await count()).toBe(before);
  });

  it('holds no secret, and shows that one was set or replaced', async () => {
    const key = await system.ok<{ id: string; secret: string }>('POST', `${account.path}/keys`, {
      name: 'app',
    });
    const endpoint = await account.endpoint({
      url: 'http://127.0.0.1:4433/?token=querysecret',
      headers: { authorization: 'Bearer headersecret', 'x-plain': 'plainvalue' },
    });
    const path = `${account.path}/endpoints/${endpoint.id}`;
    await system.ok('PATCH', path, { headers: { authorization: 'Bearer othersecret' }, timeoutMs: 5000 });
    const rotated = await system.ok<{ secret: string }>('POST', `${path}/secret/rotate`, {});
    await system.ok('GET', `${path}/secret`);
    await system.ok('DELETE', path);

    const { data } = await page(`resourceId=${endpoint.id}`, `${account.path}/audit-log`);
    expect(data.map(({ action, changes }) => [action, changes])).toMatchObject([
      ['endpoint.delete', { signingSecret: { from: '***', to: null }, timeoutMs: { from: 5000, to: null } }],
      ['secret.read', {}],
      ['secret.rotate', { signingSecret: { from: '***', to: '***' }, overlapSeconds: { to: 86400 } }],
      [
        'endpoint.update',
        {
          timeoutMs: { from: 15000, to: 5000 },
          headers: { from: { authorization: '***', 'x-plain': '***' }, to: { authorization: '***' } },
        },
      ],
      [
        'endpoint.create',
        {
          url: { from: null, to: 'http://127.0.0.1:4433/?token=***' },
          headers: { from: {}, to: { authorization: '***', 'x-plain': '***' } },
          signingSecret: { from: null, to: '***' },
        },
      ],
    ]);
    expect(Object.keys(data[3]?.changes ?? {}).sort()).toEqual(['headers', 'timeoutMs']);
    const [stored] = await system.sql<{ text: string }>(
      'SELECT string_agg(audit_log::text, chr(10)) AS text FROM audit_log',
    );
    expect(stored?.text).toContain(endpoint.id);
    for (const secret of [
      key.secret,
      system.rootKey,
      endpoint.signingSecret,
      rotated.secret,
      'querysecret',
      'headersecret',
      'othersecret',
      'plainvalue',
    ])
      expect(stored?.text).not.toContain(secret);
  });

  it('tells what changed in accounts, keys and event types', async () => {
    const mine = await system.account('Before');
    await system.ok('PATCH', mine.path, { name: 'After', metadata: { region: 'eu' } });
    await system.ok('PATCH', mine.path, { metadata: { region: 'us', 'API-Key': 'metasecret' } });
    const key = await system.ok<{ id: string }>('POST', `${mine.path}/keys`, {
      name: 'app',
      scopes: ['events:write'],
    });
    await system.ok('DELETE', `${mine.path}/keys/${key.id}`);
    await system.ok('DELETE', `${mine.path}/keys/${key.id}`);
    const { data } = await page('', `${mine.path}/audit-log`);
    expect(data.map(({ action, changes, sequence }) => [sequence, action, changes])).toEqual([
      [6, 'key.revoke', {}],
      [5, 'key.revoke', { revokedAt: { from: null, to: expect.any(String) } }],
      [
        4,
        'key.create',
        {
          name: { from: null, to: 'app' },
          hint: { from: null, to: expect.stringMatching(/^phk_.{4}…$/) },
          scopes: { from: null, to: ['events:write'] },
        },
      ],
      [3, 'account.update', { metadata: { from: { region: 'eu' }, to: { region: 'us', 'API-Key': '***' } } }],
      [
        2,
        'account.update',
        { name: { from: 'Before', to: 'After' }, metadata: { from: {}, to: { region: 'eu' } } },
      ],
      [
        1,
        'account.create',
        {
          name: { from: null, to: 'Before' },
          mode: { from: null, to: 'live' },
          notificationEmails: { from: null, to: [] },
        },
      ],
    ]);

    await system.ok('PUT', '/event-types/audited.type', { priority: 'high' });
    await system.ok('PUT', '/event-types/audited.type', { priority: 'low' });
    await system.ok('DELETE', '/event-types/audited.type');
    const types = await page('resourceId=audited.type');
    expect(types.data.map(({ action, changes }) => [action, changes])).toEqual([
      [
        'event_type.delete',
        { name: { from: 'audited.type', to: null }, priority: { from: 'low', to: null } },
      ],
      ['event_type.update', { priority: { from: 'high', to: 'low' } }],
      [
        'event_type.create',
        { name: { from: null, to: 'audited.type' }, priority: { from: null, to: 'high' } },
      ],
    ]);
  });

  it('gets one entry from a request that is repeated with its idempotency key', async () => {
    const mine = await system.account();
    const create = () =>
      system.call('POST', `${mine.path}/keys`, { name: 'once' }, { 'idempotency-key': 'audited-once' });
    expect((await create()).body).toEqual((await create()).body);
    expect((await page('action=key.create', `${mine.path}/audit-log`)).data).toHaveLength(1);
  });

  it('is shown to an account as far as it is its own', async () => {
    const [one, two] = [await oneOfEach(system), await oneOfEach(system)];
    const read = (id: string, key: string) =>
      system.call<Page>('GET', `/accounts/${id}/audit-log?limit=250`, undefined, bearer(key));
    const own = await read(one.ids.account, one.key);
    expect(own.body.data.length).toBeGreaterThan(2);
    expect(new Set(own.body.data.map(({ accountId }) => accountId))).toEqual(new Set([one.ids.account]));
    expect((await read(two.ids.account, one.key)).status).toBe(404);
    expect((await system.call('GET', '/audit-log', undefined, bearer(one.key))).status).toBe(403);
    const other = await system.call<Page>(
      'GET',
      `/accounts/${one.ids.account}/audit-log?resourceId=${two.ids.endpoint}`,
      undefined,
      bearer(one.key),
    );
    expect(other.body.data).toEqual([]);
  });

  it('is filtered by account, action, actor, resource and time, and paged from the newest on', async () => {
    const mine = await system.account();
    const key = await system.ok<{ id: string; secret: string }>('POST', `${mine.path}/keys`, { name: 'app' });
    const endpoint = await system.call<{ id: string }>(
      'POST',
      `${mine.path}/endpoints`,
      { url: 'http://127.0.0.1:4433/', paused: true },
      bearer(key.secret),
    );
    const actions = async (query: string, path = '/audit-log') =>
      (await page(query, path)).data.map(({ action }) => action);
    expect(await actions(`accountId=${mine.id}`)).toEqual([
      'endpoint.create',
      'key.create',
      'account.create',
    ]);
    expect(await actions(`accountId=${mine.id}&action=key.create`)).toEqual(['key.create']);
    expect(await actions(`actor=${key.id}`)).toEqual(['endpoint.create']);
    expect(await actions('actor=root', `${mine.path}/audit-log`)).toEqual(['key.create', 'account.create']);
    expect(await actions(`resourceId=${endpoint.body.id}`)).toEqual(['endpoint.create']);
    const [, second] = (await page('', `${mine.path}/audit-log`)).data;
    const at = encodeURIComponent(second?.createdAt ?? '');
    expect(await actions(`since=${at}`, `${mine.path}/audit-log`)).toContain('key.create');
    expect(await actions(`until=${at}`, `${mine.path}/audit-log`)).not.toContain('key.create');
    expect(await actions('since=2999-01-01T00:00:00Z')).toEqual([]);

    const all = (await page('')).data.map(({ id }) => id);
    expect(all).toEqual([...all].sort().reverse());
    const first = await system.ok<Page>('GET', '/audit-log?limit=2');
    const next = await system.ok<Page>('GET', `/audit-log?limit=2&cursor=${first.nextCursor}`);
    expect([...first.data, ...next.data].map(({ id }) => id)).toEqual(all.slice(0, 4));
    for (const [query, status] of [
      ['accountId=ep_00000000000000000000000000', 404],
      ['action=endpoint.look', 422],
      ['since=yesterday', 422],
      ['cursor=x', 400],
      ['order=asc', 422],
    ] as const)
      expect([query, (await system.call('GET', `/audit-log?${query}`)).status]).toEqual([query, status]);
  });
});

describe('the address in the audit log', () => {
  const addressOf = async (env: Record<string, string>, forwarded: string) => {
    const system = await System.start({ env });
    try {
      await system.call('POST', '/accounts', { name: 'Acme' }, { 'x-forwarded-for': forwarded });
      const { data } = await system.ok<Page>('GET', '/audit-log?limit=1');
      return data[0]?.address;
    } finally {
      await system.stop();
    }
  };

  it("is the peer's own, whatever it says in X-Forwarded-For", async () => {
    expect(await addressOf({}, '203.0.113.7')).toBe('127.0.0.1');
    expect(await addressOf({ POSTHORN_TRUSTED_PROXIES: '10.0.0.0/8' }, '203.0.113.7')).toBe('127.0.0.1');
  });

  it('is the last one that no trusted proxy has', async () => {
    const env = { POSTHORN_TRUSTED_PROXIES: '127.0.0.0/8, 10.0.0.0/8,::1' };
    expect(await addressOf(env, '198.51.100.1, 203.0.113.7, 10.1.2.3')).toBe('203.0.113.7');
    expect(await addressOf(env, '2001:db8::7')).toBe('2001:db8::7');
    expect(await addressOf(env, '<script>')).toBe('127.0.0.1');
  });
});
