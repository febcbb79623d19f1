import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, test } from '@jest/globals';
import { type CloudEvent, HTTP } from 'cloudevents';
import { Webhook } from 'standardwebhooks';
import type { EndpointHealthShown } from '../../src/endpoint-health/endpoint-health.schema.js';
import type { EndpointCreated } from '../../src/endpoints/endpoints.schema.js';
import type { PreviewShown } from '../../src/preview/preview.schema.js';
import type { TransformationTested } from '../../src/transformations/transformations.schema.js';
import { everywhere } from '../support/everywhere.js';
import { itInOneProcess } from '../support/one-process.js';
import { type Answering, type Received, Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

const A_DAY = 24 * 3600;
const ASKED = '/customers/{{ event.data.customer }}?of={{ account.id }}';
const ACME = '{"name":"Acme","credit":12345678901234567890, "since":1.0}';

/** A port that nothing listens at. */
async function deadUrl(): Promise<string> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return `http://127.0.0.1:${port}`;
}

const drip: Answering = (response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  const timer = setInterval(() => response.write(' '), 20);
  response.on('close', () => clearInterval(timer));
};

describe('enrichment', () => {
  let system: System;
  let account: Account;
  let receiver: Receiver;
  let service: Receiver;
  let made = 0;

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    receiver = await Receiver.start();
    service = await Receiver.start((response) => response.end(ACME));
  });
  afterEach(() => Promise.all([receiver.stop(), service.stop()]));

  /** Each test has lookups of its own. @returns its name */
  const lookup = async (more: Record<string, unknown> = {}): Promise<string> => {
    const name = `crm_${(made += 1)}`;
    await system.ok('POST', '/lookups', { name, url: `${new URL(service.url).origin}${ASKED}`, ...more });
    return name;
  };
  const publish = (data: Record<string, unknown> = {}, more: Record<string, unknown> = {}) =>
    account.publish({ data: { customer: 'c1', ...data }, ...more });
  const verified = ({ signingSecret }: EndpointCreated, { headers, body }: Received) =>
    new Webhook(signingSecret).verify(body, headers as Record<string, string>);
  const transform = (endpoint: { id: string }, code: string) =>
    system.ok('PUT', `${account.path}/endpoints/${endpoint.id}/transformation`, { kind: 'javascript', code });
  const preview = (endpoint: { id: string }, data: object = { customer: 'c1' }) =>
    system.ok<PreviewShown>('POST', `${account.path}/endpoints/${endpoint.id}/preview`, {
      event: { type: 'invoice.paid', data },
    });

  describe.each(['durable', 'express'] as const)('of a %s delivery', (lane) => {
    const enriched = (lookups: string[], more: Record<string, unknown> = {}) =>
      account.endpoint({ url: receiver.url, lane, lookups, retrySchedule: [A_DAY], ...more });

    it('puts what was answered beside the data, byte for byte and signed, in the order asked for', async () => {
      const [one, two] = [await lookup(), await lookup({ url: new URL('/rates', service.url).href })];
      service.answers((response, { path }) => response.end(path === '/rates' ? '[1]' : ACME));
      const endpoint = await enriched([two, one]);
      const event = await publish({ customer: 'a/b' });
      const [received] = await receiver.got(1);
      expect(received?.body).toMatch(
        new RegExp(`^\\{"id":"${event.id}",.*,"data":\\{"customer":"a/b"\\},"context":`),
      );
      expect(received?.body.endsWith(`"context":{"${two}":[1],"${one}":${ACME}}}`)).toBe(true);
      if (received) verified(endpoint, received);
      expect(service.received.map(({ path }) => path).sort()).toEqual([
        `/customers/a%2Fb?of=${account.id}`,
        '/rates',
      ]);
    });

    it('leaves deliveries of other endpoints as they were', async () => {
      const name = await lookup();
      const plain = await Receiver.start();
      await enriched([name]);
      await account.endpoint({ url: plain.url, lane });
      await publish();
      const [received] = await plain.got(1);
      expect(Object.keys(JSON.parse(received?.body ?? '') as object)).toEqual([
        'id',
        'type',
        'timestamp',
        'version',
        'data',
      ]);
      await receiver.got(1);
      await plain.stop();
    });

    it('asks once for many events while the answer is good, and for each where none is kept', async () => {
      const [kept, fresh] = [await lookup(), await lookup({ cacheTtlSeconds: 0 })];
      await enriched([kept]);
      await publish();
      await receiver.got(1);
      for (let count = 0; count < 10; count += 1) await publish();
      await receiver.got(11);
      // Each process keeps its own.
      expect(service.received.length).toBeLessThanOrEqual(system.processes.length);
      const before = service.received.length;
      await system.ok('PATCH', `/lookups/${kept}`, { required: false });
      await enriched([fresh], { eventTypes: ['fresh'] });
      for (let count = 1; count <= 3; count += 1) {
        await account.publish({ type: 'fresh', data: { customer: 'c1' } });
        await until(
          () => service.received.length,
          (length) => length >= before + count,
        );
        await until(
          () => receiver.received.filter(({ body }) => body.includes(fresh)).length,
          (length) => length === count,
        );
      }
    });

    it('shows credentials to the service alone', async () => {
      const token = 'the-token-of-the-crm';
      service.answers((response, { headers }) =>
        response.end(JSON.stringify({ echo: headers.authorization })),
      );
      const name = await lookup({ auth: { type: 'bearer', token } });
      await enriched([name]);
      const event = await publish();
      const [received] = await receiver.got(1);
      expect(service.received[0]?.headers.authorization).toBe(`Bearer ${token}`);
      expect(JSON.parse(received?.body ?? '')).toMatchObject({ context: { [name]: { echo: 'Bearer ***' } } });
      const { id } = await account.deliveryOf(event, ({ status }) => status === 'delivered');
      expect(JSON.stringify([received?.headers, await account.delivery(id)])).not.toContain(token);
    });

    const hang: Answering = () => undefined;
    const answering =
      (status: number, body = '{}', headers = {}): Answering =>
      (response) =>
        response.writeHead(status, headers).end(body);
    describe.each<[string, Answering | 'dead' | 'private', string]>([
      ['never answers', hang, 'no whole answer within 300 ms (response_timeout)'],
      ['drips its answer', drip, 'no whole answer within 300 ms (response_body_timeout)'],
      [
        'answers too much',
        answering(200, JSON.stringify('a'.repeat(70_000))),
        'the answer is not JSON of 65536 bytes at most',
      ],
      ['answers what is no JSON', answering(200, '<html>'), 'the answer is not JSON of 65536 bytes at most'],
      ['answers 500', answering(500), 'the answer is 500'],
      ['sends elsewhere', answering(302, '', { location: 'http://169.254.169.254/' }), 'the answer is 302'],
      ['is dead', 'dead', 'no answer (connect_refused)'],
      ['is where nothing may be sent', 'private', 'no answer (address_refused)'],
    ])('by a service that %s', (_, trouble, detail) => {
      const troubled = async (required: boolean) => {
        if (typeof trouble === 'function') service.answers(trouble);
        const dead = trouble === 'dead' ? { url: `${await deadUrl()}/{{ event.id }}` } : {};
        const name = await lookup({ required, timeoutMs: 300, ...dead });
        if (trouble === 'private') {
          // As one that was allowed before.
          await system.sql(
            "UPDATE lookups SET url = 'https://10.0.0.1/{{ event.id }}', version = gen_random_uuid() WHERE name = $1",
            [name],
          );
          await system.ok('PATCH', `/lookups/${name}`, { required });
          await everywhere();
        }
        return name;
      };

      it('has nothing sent where it is required, and is asked again by the schedule', async () => {
        const name = await troubled(true);
        const endpoint = await enriched([name]);
        const event = await publish();
        const { id } = await account.deliveryOf(event, ({ status }) => status === 'retrying');
        const delivery = await account.delivery(id);
        expect(delivery).toMatchObject({
          statusReason: 'lookup_failed',
          attempts: [
            {
              outcome: 'transform',
              errorCode: 'lookup_failed',
              errorDetail: `the lookup ${name}: ${detail}`,
              request: null,
            },
          ],
        });
        expect(receiver.received).toEqual([]);
        const health = await system.ok<EndpointHealthShown>(
          'GET',
          `${account.path}/endpoints/${endpoint.id}/health`,
        );
        expect(JSON.stringify(health)).not.toContain('lookup');
        expect(await system.ok('GET', `${account.path}/notifications`)).toMatchObject({ data: [] });
        await until(
          () => system.ok<{ lastFailure: unknown }>('GET', `/lookups/${name}`),
          ({ lastFailure }) => lastFailure !== null,
        );
      });

      it('has null sent in its place where it is optional', async () => {
        const name = await troubled(false);
        await enriched([name]);
        await publish();
        const [received] = await receiver.got(1);
        expect(JSON.parse(received?.body ?? '')).toMatchObject({ context: { [name]: null } });
      });
    });

    it('fails, and asks nothing, for an event that lacks what is asked by', async () => {
      const name = await lookup();
      await enriched([name]);
      const event = await account.publish({ data: { secret: 'in the event' } });
      const { id } = await account.deliveryOf(event, ({ status }) => status === 'retrying');
      const [attempt] = (await account.delivery(id)).attempts;
      expect(attempt?.errorDetail).toBe(`the lookup ${name}: {{ event.data.customer }} is empty`);
      expect(service.received).toEqual([]);
    });

    it('succeeds on the next attempt once the service works', async () => {
      service.answers((response) => response.writeHead(503).end());
      const name = await lookup();
      await enriched([name], { retrySchedule: Array.from({ length: 10 }, () => 1) });
      const event = await publish();
      await account.deliveryOf(event, ({ attemptCount }) => attemptCount > 0);
      service.answers((response) => response.end('7'));
      const [received] = await receiver.got(1);
      expect(JSON.parse(received?.body ?? '')).toMatchObject({ context: { [name]: 7 } });
    });

    it('is an attribute of a CloudEvent, and the data stays what it was', async () => {
      const name = await lookup();
      service.answers((response) => response.end('{"who":"Zoë\u007f\u{1fffe}",\n\t"n":1}'));
      const context = { [name]: { who: 'Zoë\u007f\u{1fffe}', n: 1 } };
      for (const format of ['cloudevents-structured', 'cloudevents-binary']) {
        const endpoint = await enriched([name], { format });
        const received = await receiver.next(() => publish());
        const read = HTTP.toEvent({
          headers: received.headers,
          body: received.body,
        });
        const cloudEvent = read as CloudEvent;
        expect(cloudEvent.validate()).toBe(true);
        expect(cloudEvent.data).toEqual({ customer: 'c1' });
        // The package leaves headers as they are on the wire.
        const attribute = String(cloudEvent.posthorncontext);
        const json = format === 'cloudevents-binary' ? decodeURIComponent(attribute) : attribute;
        expect(JSON.parse(json)).toEqual(context);
        verified(endpoint, received);
        await system.ok('DELETE', `${account.path}/endpoints/${endpoint.id}`);
      }
    });

    it('is seen by a transformation, whose body is then sent as it made it', async () => {
      const name = await lookup();
      const endpoint = await enriched([name]);
      await transform(
        endpoint,
        `const transform = ({ context }) => ({ body: { who: context.${name}.name } })`,
      );
      const received = await receiver.next(() => publish());
      expect(received.body).toBe('{"who":"Acme"}');
      verified(endpoint, received);
      await system.ok('PUT', `${account.path}/endpoints/${endpoint.id}/transformation`, {
        kind: 'declarative',
        spec: { headers: { 'x-who': `{{ event.context.${name}.name }}` } },
      });
      const other = await receiver.next(() => publish());
      expect(other.headers['x-who']).toBe('Acme');
      expect(other.body).toContain(`"context":{"${name}":${ACME}}}`);
    });

    it('is no part of a thin delivery, and then nothing is asked', async () => {
      const name = await lookup();
      const endpoint = await enriched([name], { payload: 'thin' });
      const received = await receiver.next(() => publish());
      const { url, ...rest } = JSON.parse(received.body) as { url: string };
      expect(Object.keys(rest)).toEqual(['id', 'type', 'timestamp', 'version']);
      expect(service.received).toEqual([]);
      expect(await system.ok('GET', url.replace('/v1', ''))).not.toHaveProperty('context');
      // A transformation may look at it, for headers and path.
      await transform(endpoint, `const transform = ({ context }) => ({ path: '/' + context.${name}.name })`);
      const shaped = await receiver.next(() => publish());
      expect([shaped.path, shaped.body.includes('context')]).toEqual(['/Acme', false]);
    });

    it('goes with a test event too', async () => {
      const name = await lookup();
      const endpoint = await enriched([name]);
      const received = await receiver.next(() =>
        system.ok('POST', `${account.path}/endpoints/${endpoint.id}/test`, {
          type: 'invoice.paid',
          data: { customer: 'c1' },
        }),
      );
      expect(received.headers['webhook-test']).toBe('true');
      expect(received.body).toContain(`"context":{"${name}":${ACME}}}`);
    });
  });

  it('may not make a header longer than receivers take', async () => {
    const name = await lookup();
    service.answers((response) => response.end(JSON.stringify('a'.repeat(9_000))));
    const endpoint = await account.endpoint({
      url: receiver.url,
      lookups: [name],
      format: 'cloudevents-binary',
      retrySchedule: [A_DAY],
    });
    const event = await publish();
    const { id } = await account.deliveryOf(event, ({ status }) => status === 'retrying');
    expect((await account.delivery(id)).attempts[0]?.errorDetail).toMatch(/^the context takes 9\d{3} bytes/);
    await system.ok('PATCH', `${account.path}/endpoints/${endpoint.id}`, {
      format: 'cloudevents-structured',
    });
    const received = await receiver.next(() => publish());
    expect(received.body).toContain('aaaa');
  });

  it('is shown by a preview as it would be sent, and its failure with the reason', async () => {
    const name = await lookup();
    const endpoint = await account.endpoint({ url: receiver.url, lookups: [name] });
    const shown = await preview(endpoint);
    expect(shown.request?.body).toContain(`"data":{"customer":"c1"},"context":{"${name}":${ACME}}}`);
    expect(await preview(endpoint, {})).toMatchObject({
      matched: true,
      reason: {
        code: 'lookup_failed',
        pointer: '/lookups',
        detail: `the lookup ${name}: {{ event.data.customer }} is empty`,
      },
      request: null,
    });
    expect(await system.ok('GET', `/lookups/${name}`)).toMatchObject({ lastFailure: null });
    expect(receiver.received).toEqual([]);
  });

  it('is there when a transformation is tried', async () => {
    const name = await lookup();
    const endpoint = await account.endpoint({ url: receiver.url, lookups: [name] });
    const path = `${account.path}/endpoints/${endpoint.id}/transformation/test`;
    const code = `const transform = ({ context }) => ({ body: context.${name}.name })`;
    const tryOn = (data: object) =>
      system.ok<TransformationTested>('POST', path, { code, event: { type: 'invoice.paid', data } });
    expect(await tryOn({ customer: 'c1' })).toMatchObject({
      outcome: 'transformed',
      result: { body: '"Acme"' },
    });
    expect(await tryOn({})).toMatchObject({
      outcome: 'failed',
      error: `the lookup ${name}: {{ event.data.customer }} is empty`,
    });
  });

  // Each process keeps answers of its own, and either of two may be asked next.
  itInOneProcess('an answer is kept', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, lookups: [await lookup()] });
    await preview(endpoint);
    service.answers((response, { path }) => response.end(JSON.stringify(path)));
    expect((await preview(endpoint)).request?.body).toContain('Acme');
  });

  test('a change of a lookup counts from the next event on, and nothing of before is kept', async () => {
    const name = await lookup();
    const endpoint = await account.endpoint({ url: receiver.url, lookups: [name] });
    expect((await preview(endpoint)).request?.body).toContain('Acme');
    service.answers((response, { path }) => response.end(JSON.stringify(path)));
    await system.ok('PATCH', `/lookups/${name}`, { url: new URL('/other', service.url).href });
    await until(
      async () => (await preview(endpoint)).request?.body ?? '',
      (body) => body.includes(`"context":{"${name}":"/other"}`),
    );
  });
});
