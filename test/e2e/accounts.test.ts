import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { AccountShown } from '../../src/accounts/accounts.schema.js';
import { System } from '../support/system.js';

describe('accounts', () => {
  let system: System;

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());

  it('are created with a name alone, or with a plan and notes', async () => {
    const plain = await system.ok<AccountShown>('POST', '/accounts', { name: 'Acme' });
    expect(plain).toEqual({
      id: expect.stringMatching(/^acc_[0-9a-z]{26}$/),
      name: 'Acme',
      plan: null,
      mode: 'live',
      metadata: {},
      notificationEmails: [],
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      updatedAt: plain.createdAt,
    });
    const full = { name: 'Żółć 😀', plan: 'gold', metadata: { crm: '4711', constructor: 'kept' } };
    const created = await system.ok<AccountShown>('POST', '/accounts', full);
    expect(created).toMatchObject(full);
    expect(await system.ok('GET', `/accounts/${created.id}`)).toEqual(created);
  });

  it('are changed field by field', async () => {
    const { id, createdAt } = await system.ok<AccountShown>('POST', '/accounts', {
      name: 'Acme',
      plan: 'gold',
      metadata: { a: '1', b: '2' },
    });
    const change = (body: Record<string, unknown>) =>
      system.ok<AccountShown>('PATCH', `/accounts/${id}`, body);
    expect(await change({ name: 'Emca' })).toMatchObject({
      name: 'Emca',
      plan: 'gold',
      metadata: { a: '1', b: '2' },
    });
    expect(await change({ plan: null })).toMatchObject({ name: 'Emca', plan: null });
    const last = await change({ metadata: { c: '3' } });
    expect(last).toMatchObject({ name: 'Emca', metadata: { c: '3' }, createdAt });
    expect(Date.parse(last.updatedAt)).toBeGreaterThanOrEqual(Date.parse(createdAt));
    expect(await change({})).toMatchObject({ name: 'Emca', plan: null, metadata: { c: '3' } });
  });

  it.each([
    [{}, ['/name']],
    [{ name: 5 }, ['/name']],
    [{ name: '' }, ['/name']],
    [{ name: 'a'.repeat(201) }, ['/name']],
    [{ name: 'a\u0000' }, ['/name']],
    [{ name: 'a\nb' }, ['/name']],
    [{ name: 'a\ud800' }, ['/name']],
    [{ name: 'x', plan: '' }, ['/plan']],
    [{ name: 'x', metadata: [] }, ['/metadata']],
    [{ name: 'x', mode: 'dry' }, ['/mode']],
    [{ name: 'x', metadata: { a: 1 } }, ['/metadata/a']],
    [{ name: 'x', metadata: { 'a/b~c': 1 } }, ['/metadata/a~1b~0c']],
    [{ name: 'x', metadata: { a: '\u0000' } }, ['/metadata/a']],
    [
      { name: 'x', metadata: Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`k${n}`, 'v'])) },
      ['/metadata'],
    ],
    [{ name: 'x', id: 'acc_mine' }, ['/id']],
    [
      { name: '', plan: 7, metadata: { a: 1 }, nmae: 'x', also: 1 },
      ['/name', '/plan', '/metadata/a', '/nmae', '/also'],
    ],
  ])('are refused for %j, with a pointer at each bad field', async (body, pointers) => {
    const answer = await system.call<{ code: string; errors: { pointer: string; detail: string }[] }>(
      'POST',
      '/accounts',
      body,
    );
    expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed']);
    expect(answer.body.errors.map(({ pointer }) => pointer)).toEqual(pointers);
    for (const { detail } of answer.body.errors) expect(detail.length).toBeGreaterThan(5);
  });

  it('that do not exist are not found, for reading, changing and listing what they own', async () => {
    const path = '/accounts/acc_00000000000000000000000000';
    const answers = [
      await system.call('GET', path),
      await system.call('PATCH', path, { name: 'x' }),
      ...(await Promise.all(
        ['keys', 'endpoints', 'events', 'deliveries'].map((own) => system.call('GET', `${path}/${own}`)),
      )),
    ];
    for (const { status, body } of answers) expect([status, body.code]).toEqual([404, 'not_found']);
  });
});
