import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ENDLESS, OVER_100, THOUSANDS } from '../support/filters.js';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';

describe('a preview', () => {
  let system: System;
  let account: Account;

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
  });

  const paused = (filter: unknown) =>
    account.endpoint({ url: 'http://127.0.0.1:4433/', paused: true, filter });
  const preview = (endpoint: { id: string }, body: unknown) =>
    system.call('POST', `${account.path}/endpoints/${endpoint.id}/preview`, body);
  const sample = (data: unknown, more: Record<string, unknown> = {}) => ({
    event: { type: 'invoice.paid', data, ...more },
  });

  it('says why an event that was published, or a sample, does not match', async () => {
    const endpoint = await paused(OVER_100);
    const event = await account.publish({ data: { amount: 50 } });
    const reason = {
      code: 'filter',
      pointer: '/filter/data/amount/$gt',
      detail: 'data.amount is 50: must be greater than 100',
    };
    expect((await preview(endpoint, { eventId: event.id })).body).toEqual({
      matched: false,
      reason,
      request: null,
    });
    expect((await preview(endpoint, sample({ amount: 150 }))).body).toMatchObject({
      matched: true,
      reason: null,
    });
    expect((await preview(endpoint, sample({}))).body).toMatchObject({
      matched: false,
      reason: { detail: 'data.amount is absent: must be greater than 100' },
    });
    expect(await account.deliveries()).toEqual([]);
  });

  it('looks at the type first, and at CEL last', async () => {
    const endpoint = await account.endpoint({
      url: 'http://127.0.0.1:4433/',
      paused: true,
      eventTypes: ['invoice.*'],
      filter: { tags: 'vip', cel: 'event.data.amount > 5' },
    });
    const reasonOf = async (body: unknown) => (await preview(endpoint, body)).body.reason;
    expect(await reasonOf({ event: { type: 'user.made', data: 1 } })).toMatchObject({
      code: 'event_type',
      pointer: '/eventTypes',
    });
    expect(await reasonOf(sample({ amount: 6 }))).toMatchObject({
      code: 'filter',
      pointer: '/filter/tags',
    });
    const vip = { tags: ['vip'] };
    expect(await reasonOf(sample({ amount: 4 }, vip))).toMatchObject({
      code: 'filter',
      pointer: '/filter/cel',
    });
    expect(await reasonOf(sample({ amount: 'x' }, vip))).toMatchObject({
      code: 'filter_error',
      pointer: '/filter/cel',
      detail: 'no such overload: dyn<string> > int',
    });
    expect(await reasonOf(sample({ amount: 6 }, vip))).toBeNull();
  });

  it('says when a filter is too costly', async () => {
    const endpoint = await paused(ENDLESS);
    expect((await preview(endpoint, sample({ list: THOUSANDS }))).body).toMatchObject({
      matched: false,
      reason: { code: 'filter_error', pointer: '/filter/cel' },
    });
    const costly = await paused({ data: { list: { $endsWith: 'x' } } });
    expect((await preview(costly, sample({ list: THOUSANDS }))).body).toMatchObject({
      matched: false,
      reason: { code: 'filter_error', pointer: '/filter' },
    });
  });

  it('of an event by its id is for those who may read events', async () => {
    const endpoint = await paused(OVER_100);
    const event = await account.publish({ data: { amount: 50 } });
    const { secret } = await system.ok<{ secret: string }>('POST', `${account.path}/keys`, {
      name: 'endpoints',
      scopes: ['endpoints:read'],
    });
    const ask = (body: unknown) =>
      system.call('POST', `${account.path}/endpoints/${endpoint.id}/preview`, body, {
        authorization: `Bearer ${secret}`,
      });
    expect((await ask(sample({ amount: 150 }))).status).toBe(200);
    expect(await ask({ eventId: event.id })).toMatchObject({ status: 403, body: { code: 'forbidden' } });
  });

  it('is of one event, and shows nothing of another account', async () => {
    const endpoint = await paused(OVER_100);
    const other = await system.account();
    const event = await other.publish();
    expect((await preview(endpoint, { eventId: event.id })).status).toBe(404);
    expect((await preview(endpoint, { eventId: endpoint.id })).status).toBe(404);
    const path = `${other.path}/endpoints/${endpoint.id}/preview`;
    expect((await system.call('POST', path, sample(1))).status).toBe(404);
    expect((await preview(endpoint, {})).status).toBe(422);
    expect((await preview(endpoint, { eventId: event.id, ...sample(1) })).status).toBe(422);
    expect((await preview(endpoint, sample(undefined))).status).toBe(422);
  });

  describe('of what would be sent', () => {
    let receiver: Receiver;
    beforeEach(async () => {
      receiver = await Receiver.start();
    });
    afterEach(() => receiver.stop());

    const SHAPE = {
      kind: 'javascript',
      code: `function transform(event) {
        if (event.data.drop) return null;
        if (event.data.fail) throw new Error('not this one');
        return { body: { text: event.type, of: event.data.amount }, headers: { 'x-shaped': 'yes' }, path: '/shaped' };
      }`,
    };

    it.each([
      ['as it was published', {}, null],
      ['as a structured CloudEvent', { format: 'cloudevents-structured' }, null],
      ['as a binary CloudEvent', { format: 'cloudevents-binary' }, null],
      ['thin', { payload: 'thin' }, null],
      ['shaped', {}, SHAPE],
      ['shaped, as a structured CloudEvent', { format: 'cloudevents-structured' }, SHAPE],
      ['shaped, as a binary CloudEvent', { format: 'cloudevents-binary' }, SHAPE],
    ])('shows it as it is sent: %s', async (_, options, transformation) => {
      const endpoint = await account.endpoint({
        url: `${receiver.url}/in?a=1`,
        headers: { 'x-team': 'blue', authorization: 'Basic c2VjcmV0' },
        ...options,
      });
      if (transformation)
        await system.ok('PUT', `${account.path}/endpoints/${endpoint.id}/transformation`, transformation);
      const event = await account.publish({
        data: { amount: 12345678901234567890n.toString() },
        tags: ['eu'],
      });
      await receiver.got(1);
      const [sent] = receiver.received;
      const { status, body } = await preview(endpoint, { eventId: event.id });
      expect(status).toBe(200);
      const { request } = body as unknown as {
        request: Record<string, string> & { headers: Record<string, string> };
      };
      expect(request).toMatchObject({
        method: 'POST',
        url: new URL(sent?.path ?? '', receiver.url).href,
        body: sent?.body,
      });
      for (const [name, value] of Object.entries(request.headers)) {
        if (value !== '***' && name !== 'webhook-timestamp')
          expect([name, sent?.headers[name]]).toEqual([name, value]);
      }
      expect(request.headers).toMatchObject({
        authorization: '***',
        'webhook-signature': '***',
        'x-team': 'blue',
      });
    });

    it('says that a transformation drops an event or fails, and nobody is told', async () => {
      const endpoint = await account.endpoint({ url: receiver.url });
      await system.ok('PUT', `${account.path}/endpoints/${endpoint.id}/transformation`, SHAPE);
      expect((await preview(endpoint, sample({ drop: true }))).body).toMatchObject({
        matched: true,
        reason: { code: 'transform_dropped', pointer: '/transformation' },
        request: null,
      });
      const failed = (await preview(endpoint, sample({ fail: true }))).body;
      expect(failed).toMatchObject({ reason: { code: 'transform_error' }, request: null });
      expect((failed.reason as { detail: string }).detail).toContain('not this one');
      expect(receiver.received).toEqual([]);
    });
  });
});
