import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { EndpointCreated } from '../../src/endpoints/endpoints.schema.js';
import type { TransformationTested } from '../../src/transformations/transformations.schema.js';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';

describe('a test run', () => {
  let system: System;
  let account: Account;
  let receiver: Receiver;
  let endpoint: EndpointCreated;

  beforeAll(async () => {
    system = await System.start();
    account = await system.account();
    receiver = await Receiver.start();
    endpoint = await account.endpoint({ url: receiver.url, paused: true });
  });
  afterAll(async () => {
    await system.stop();
    await receiver.stop();
  });

  const path = () => `${account.path}/endpoints/${endpoint.id}/transformation`;
  const event = { type: 'invoice.paid', data: { amount: 5 }, timestamp: '2026-01-02T03:04:05Z' };
  const tried = (body: object) => system.ok<TransformationTested>('POST', `${path()}/test`, body);

  it('shows what would be sent, the console, and about how long it took', async () => {
    const code = `function transform(event) {
      console.log('amount', event.data.amount);
      return { body: { at: Date.now() }, headers: { 'x-a': 'b', 'x-api-key': 'k' }, path: '/x' };
    }`;
    expect(await tried({ code, event })).toEqual({
      outcome: 'transformed',
      result: {
        url: `${new URL(receiver.url).origin}/x`,
        headers: { 'x-a': 'b', 'x-api-key': '***' },
        body: `{"at":${Date.parse(event.timestamp)}}`,
      },
      error: null,
      console: ['amount 5'],
      duration: expect.stringMatching(/^(under_\d+_ms|ended)$/),
    });
  });

  it('shows what is dropped, and what fails', async () => {
    expect(await tried({ code: 'const transform = () => null', event })).toMatchObject({
      outcome: 'dropped',
      result: null,
      error: null,
    });
    const failed = await tried({
      code: 'const transform = (e) => { console.log("here"); return e.x.y }',
      event,
    });
    expect(failed).toMatchObject({ outcome: 'failed', result: null, console: ['here'] });
    expect(failed.error).toContain("cannot read property 'y'");
    expect(await tried({ code: 'for (;;); function transform() {}', event })).toMatchObject({
      outcome: 'failed',
      duration: 'ended',
    });
    expect(
      await tried({ code: 'const transform = () => ({ path: "https://evil.example" })', event }),
    ).toMatchObject({ outcome: 'failed' });
  });

  it('is of a spec, or of what is stored', async () => {
    expect(await tried({ spec: { pick: ['data'] }, event })).toMatchObject({
      result: { body: '{"data":{"amount":5}}' },
    });
    expect((await system.call('POST', `${path()}/test`, { event })).status).toBe(404);
    await system.ok('PUT', path(), { kind: 'declarative', spec: { pick: ['type'] } });
    expect(await tried({ event })).toMatchObject({ result: { body: '{"type":"invoice.paid"}' } });
  });

  it('is of an event that was published, for those who may read it', async () => {
    const published = await account.publish({ data: { amount: 12345678901234567890n.toString() } });
    expect(await tried({ spec: { headers: {} }, eventId: published.id })).toMatchObject({
      result: { body: expect.stringContaining(published.id) },
    });
    const key = await system.ok<{ secret: string }>('POST', `${account.path}/keys`, {
      name: 'w',
      scopes: ['endpoints:write'],
    });
    const headers = { authorization: `Bearer ${key.secret}` };
    const refused = await system.call('POST', `${path()}/test`, { spec: {}, eventId: published.id }, headers);
    expect([refused.status, refused.body]).toMatchObject([
      403,
      { detail: expect.stringContaining('events:read') },
    ]);
    expect((await system.call('POST', `${path()}/test`, { spec: {}, event }, headers)).status).toBe(200);
    const theirs = await (await system.account()).publish();
    expect((await system.call('POST', `${path()}/test`, { spec: {}, eventId: theirs.id })).status).toBe(404);
    expect((await system.call('POST', `${path()}/test`, { spec: {}, eventId: endpoint.id })).status).toBe(
      404,
    );
  });

  it('wants one event and one program', async () => {
    for (const body of [{ spec: {} }, { spec: {}, event, eventId: 'evt_x' }, { spec: {}, code: 'x', event }])
      expect((await system.call('POST', `${path()}/test`, body)).status).toBe(422);
  });

  it('sends nothing and stores nothing', async () => {
    const before = await system.ok('GET', path());
    await tried({ code: 'const transform = () => ({})', event });
    expect(await system.ok('GET', path())).toEqual(before);
    expect(receiver.received).toEqual([]);
  });
});
