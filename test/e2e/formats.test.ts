import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { CloudEvent, HTTP } from 'cloudevents';
import { Webhook } from 'standardwebhooks';
import { fromId } from '../../src/common/ids.js';
import { LANES } from '../../src/common/lane.js';
import type { EventSummary, Published } from '../../src/events/events.schema.js';
import { type Received, Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';

const PUBLIC_URL = 'https://posthorn.example/hooks/';
/** What parsing and printing again would change. */
const DATA = '{ "b":12345678901234567890, "a":1e2, "a":"\\u0041", "10":1, "2":"ü" }';
const STRUCTURED = 'application/cloudevents+json';
const BATCH = 'application/cloudevents-batch+json';

const asText = (headers: Received['headers']): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));

describe.each(LANES)('what is sent in the lane %s', (lane) => {
  let system: System;
  let account: Account;
  let receiver: Receiver;

  beforeAll(async () => {
    system = await System.start({ env: { POSTHORN_LANE: lane, POSTHORN_PUBLIC_URL: PUBLIC_URL } });
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    receiver = await Receiver.start();
  });
  afterEach(() => receiver.stop());

  const publish = (more = '') =>
    system.call<Published>(
      'POST',
      `${account.path}/events`,
      `{"type":"invoice.paid","timestamp":"2026-11-23T21:34:17.973Z","version":"2","tags":["eu","grün"],"data":${DATA}${more}}`,
    );
  /** Verifies the signature, whatever the shape. */
  const next = async (endpoint: { signingSecret: string }, cause: () => Promise<unknown> = publish) => {
    const received = await receiver.next(cause);
    expect(() =>
      new Webhook(endpoint.signingSecret).verify(received.body || '""', asText(received.headers)),
    ).not.toThrow();
    return received;
  };

  it('has the data byte for byte in our own format', async () => {
    const endpoint = await account.endpoint({ url: receiver.url });
    expect(endpoint).toMatchObject({ payload: 'full', format: 'posthorn', test: false });
    const { body, headers } = await next(endpoint);
    expect(body).toBe(
      `{"id":"${String(headers['webhook-id'])}","type":"invoice.paid","timestamp":"2026-11-23T21:34:17.973Z","version":"2","data":${DATA}}`,
    );
    expect(headers['content-type']).toBe('application/json');
    expect(headers['webhook-test']).toBeUndefined();
  });

  it('is a structured CloudEvent', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, format: 'cloudevents-structured' });
    const { body, headers } = await next(endpoint);
    expect(headers['content-type']).toBe(STRUCTURED);
    expect(body).toContain(`"data":${DATA}}`);
    const read = HTTP.toEvent({ headers: asText(headers), body }) as CloudEvent;
    expect(read.validate()).toBe(true);
    expect(read.toJSON()).toEqual({
      specversion: '1.0',
      id: headers['webhook-id'],
      source: `/accounts/${account.id}`,
      type: 'invoice.paid',
      time: '2026-11-23T21:34:17.973Z',
      datacontenttype: 'application/json',
      posthornversion: '2',
      posthorntags: 'eu,grün',
      data: JSON.parse(DATA) as unknown,
    });
  });

  it('is a binary CloudEvent, whose attributes are headers and not part of what is signed', async () => {
    const endpoint = await account.endpoint({
      url: receiver.url,
      format: 'cloudevents-binary',
      headers: { 'ce-type': 'forged', 'x-mine': 'kept' },
    });
    const { body, headers } = await next(endpoint);
    expect(body).toBe(DATA);
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'ce-specversion': '1.0',
      'ce-id': headers['webhook-id'],
      'ce-source': `/accounts/${account.id}`,
      'ce-type': 'invoice.paid',
      'ce-time': '2026-11-23T21:34:17.973Z',
      'ce-posthornversion': '2',
      'ce-posthorntags': 'eu,gr%C3%BCn',
      'x-mine': 'kept',
    });
    const read = HTTP.toEvent({ headers: asText(headers), body }) as CloudEvent;
    expect([read.validate(), read.data]).toEqual([true, JSON.parse(DATA)]);
  });

  it('follows a change of the format and the payload from the next attempt on', async () => {
    const endpoint = await account.endpoint({ url: receiver.url });
    const path = `${account.path}/endpoints/${endpoint.id}`;
    const changed = await system.ok('PATCH', path, { format: 'cloudevents-structured', payload: 'thin' });
    expect(changed).toMatchObject({ format: 'cloudevents-structured', payload: 'thin' });
    const read = JSON.parse((await next(endpoint)).body) as Record<string, unknown>;
    expect([read.specversion, 'data' in read]).toEqual(['1.0', false]);
    const { data } = await system.ok<{ data: { changes: unknown }[] }>(
      'GET',
      `${account.path}/audit-log?action=endpoint.update`,
    );
    expect(data[0]?.changes).toMatchObject({
      format: { from: 'posthorn', to: 'cloudevents-structured' },
      payload: { from: 'full', to: 'thin' },
    });
  });

  describe('thin', () => {
    /** By the link, at the process that is here. */
    const fetchBy = (link: unknown, method = 'GET') => {
      const path = String(link).slice(PUBLIC_URL.length - 1);
      return fetch(`${system.url}${path}`, { method });
    };
    const linkIn = (body: string) => (JSON.parse(body) as { url: string }).url;

    it('leaves the data to be fetched once, without a key', async () => {
      const endpoint = await account.endpoint({ url: receiver.url, payload: 'thin' });
      const { body, headers } = await next(endpoint);
      const thin = JSON.parse(body) as Record<string, unknown>;
      expect(thin).toEqual({
        id: headers['webhook-id'],
        type: 'invoice.paid',
        timestamp: '2026-11-23T21:34:17.973Z',
        version: '2',
        url: expect.stringMatching(/^https:\/\/posthorn\.example\/hooks\/v1\/fetch\/[\w-]{80,200}$/),
      });
      expect((await fetchBy(thin.url, 'HEAD')).status).toBe(200);
      const answer = await fetchBy(thin.url);
      expect([
        answer.status,
        answer.headers.get('cache-control'),
        answer.headers.get('content-type'),
      ]).toEqual([200, 'no-store', 'application/json; charset=utf-8']);
      const text = await answer.text();
      expect(text.endsWith(`,"data":${DATA}}`)).toBe(true);
      expect(JSON.parse(text)).toMatchObject({ id: thin.id, type: 'invoice.paid', tags: ['eu', 'grün'] });
      const again = await fetchBy(thin.url);
      expect([again.status, ((await again.json()) as { code: string }).code]).toEqual([
        410,
        'fetch_token_used',
      ]);
      expect((await fetchBy(thin.url, 'HEAD')).status).toBe(410);
    });

    it('hands it out once to many who ask at the same time', async () => {
      const endpoint = await account.endpoint({ url: receiver.url, payload: 'thin' });
      const link = linkIn((await next(endpoint)).body);
      const answers = await Promise.all(Array.from({ length: 8 }, () => fetchBy(link)));
      expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array<number>(7).fill(410)]);
    });

    it('has a new link in each attempt, and nothing of it in the log', async () => {
      let answered = 0;
      receiver.answers((response) => response.writeHead((answered += 1) === 1 ? 503 : 200).end());
      const endpoint = await account.endpoint({
        url: receiver.url,
        payload: 'thin',
        format: 'cloudevents-binary',
        retrySchedule: [0],
      });
      const event = await account.publish();
      const links = (await receiver.got(2)).map(({ headers }) => String(headers['ce-dataref']));
      expect(new Set(links).size).toBe(2);
      for (const link of links) expect((await fetchBy(link)).status).toBe(200);
      const { id } = await account.deliveryOf(event, ({ status }) => status === 'delivered');
      const { attempts } = await account.delivery(id);
      expect(attempts.map(({ request }) => request?.headers['ce-dataref'])).toEqual(['***', '***']);
      const received = receiver.received[1];
      expect([received?.body, received?.headers['content-type']]).toEqual(['', undefined]);
      expect(endpoint.format).toBe('cloudevents-binary');
    });

    it('is not fetched by what is no link of ours, or leads to nothing', async () => {
      const endpoint = await account.endpoint({ url: receiver.url, payload: 'thin' });
      const { body, headers } = await next(endpoint);
      const link = linkIn(body);
      const shifted = link.slice(0, -20) + link.slice(-19);
      for (const other of [`${PUBLIC_URL}v1/fetch/x`, shifted, link.slice(0, -4)]) {
        const answer = await fetchBy(other);
        expect([answer.status, answer.headers.get('cache-control')]).toEqual([404, 'no-store']);
      }
      const id = fromId('event', String(headers['webhook-id']));
      await system.sql('DELETE FROM events WHERE id = $1', [id]);
      expect((await fetchBy(link)).status).toBe(404);
    });

    it('is offered by its path where nobody knows how the API is reached', async () => {
      const inside = await System.start({ env: { POSTHORN_LANE: lane } });
      try {
        const mine = await inside.account();
        await mine.endpoint({ url: receiver.url, payload: 'thin' });
        const { body } = await receiver.next(() => mine.publish());
        const { id, url } = JSON.parse(body) as { id: string; url: string };
        expect(url).toBe(`/v1/accounts/${mine.id}/events/${id}`);
        expect((await inside.call('GET', url.slice('/v1'.length))).body).toMatchObject({ id });
      } finally {
        await inside.stop();
      }
    });
  });

  describe('published as a CloudEvent', () => {
    const EVENT = {
      specversion: '1.0',
      id: '7',
      source: 'https://shop.example/orders',
      type: 'invoice.paid',
    };
    const post = <Body = Published & { code?: string }>(
      body: string,
      headers: Record<string, string>,
      more = {},
    ) => system.call<Body>('POST', `${account.path}/events`, body, { ...headers, ...more });
    const stored = (id: string) => system.ok<EventSummary>('GET', `${account.path}/events/${id}`);

    it('structured, arrives with its data byte for byte', async () => {
      const endpoint = await account.endpoint({ url: receiver.url });
      const text = `{"specversion":"1.0","id":"7","source":"/orders","type":"invoice.paid","time":"2026-01-02T03:04:05+01:00",
        "subject":"left out","posthornversion":"3","tags":"eu,vip","priority":"high","data":${DATA}}`;
      const { body } = await next(endpoint, async () => {
        const answer = await post(text, { 'content-type': `${STRUCTURED}; charset=utf-8` });
        expect([answer.status, answer.body]).toMatchObject([
          202,
          { externalId: '/orders 7', duplicate: false, matched: 1 },
        ]);
        expect(await stored(answer.body.id)).toMatchObject({
          externalId: '/orders 7',
          timestamp: '2026-01-02T02:04:05.000Z',
          version: '3',
          tags: ['eu', 'vip'],
          priority: 'high',
        });
      });
      expect(body.endsWith(`,"version":"3","data":${DATA}}`)).toBe(true);
    });

    it('by the CloudEvents package in each mode comes out as what went in', async () => {
      await account.endpoint({ url: receiver.url, format: 'cloudevents-structured' });
      const event = new CloudEvent({ ...EVENT, time: '2026-01-02T03:04:05.678Z', data: { ü: [1, null] } });
      for (const [index, message] of [HTTP.binary(event), HTTP.structured(event)].entries()) {
        const other = { ...message, headers: { ...message.headers } as Record<string, string> };
        if (index > 0) other.body = String(other.body).replace('"7"', '"8"');
        const { body, headers } = await receiver.next(() => post(String(other.body), other.headers));
        const read = HTTP.toEvent({ headers: asText(headers), body }) as CloudEvent;
        expect([read.type, read.time, read.data]).toEqual([event.type, event.time, event.data]);
        const shown = await stored(read.id);
        expect(shown.externalId).toBe(`${EVENT.source} ${7 + index}`);
      }
    });

    it('twice is one event, in whichever mode, and another one from another source', async () => {
      const first = await post(JSON.stringify({ ...EVENT, data: 1 }), { 'content-type': STRUCTURED });
      const headers = Object.fromEntries(Object.entries(EVENT).map(([name, value]) => [`ce-${name}`, value]));
      const again = await post('1', { 'content-type': 'application/json', ...headers });
      expect(again.body).toMatchObject({ id: first.body.id, duplicate: true });
      const other = await post('1', { 'content-type': 'application/json', ...headers, 'ce-source': '/b' });
      expect([other.body.duplicate, other.body.id === first.body.id]).toEqual([false, false]);
    });

    it('in a batch gets one answer for each, in order, and all or none are published', async () => {
      const events = [1, 2, 1].map((number) => ({ ...EVENT, id: `b${number}`, data: number }));
      const answer = await post<{ data: Published[] }>(JSON.stringify(events), { 'content-type': BATCH });
      expect([answer.status, answer.body.data.map(({ duplicate }) => duplicate)]).toEqual([
        202,
        [false, false, true],
      ]);
      expect(answer.body.data.map(({ externalId }) => externalId)).toEqual(
        ['b1', 'b2', 'b1'].map((id) => `${EVENT.source} ${id}`),
      );
      const refused = await post(
        JSON.stringify([
          { ...EVENT, id: 'b3' },
          { ...EVENT, type: '' },
        ]),
        {
          'content-type': BATCH,
        },
      );
      expect([refused.status, refused.body]).toMatchObject([422, { errors: [{ pointer: '/1/type' }] }]);
      const list = await system.ok<{ data: unknown[] }>(
        'GET',
        `${account.path}/events?externalId=${encodeURIComponent(`${EVENT.source} b3`)}`,
      );
      expect(list.data).toEqual([]);
    });

    it('in a batch may be as large as our own batches, and one event as large as one', async () => {
      const data = 'x'.repeat(600_000);
      const batch = JSON.stringify([1, 2, 3].map((id) => ({ ...EVENT, id: `l${id}`, data })));
      expect((await post(batch, { 'content-type': BATCH })).status).toBe(202);
      const over = JSON.stringify([{ ...EVENT, id: 'l4', data: 'x'.repeat(1_048_577) }]);
      const refused = await post(over, { 'content-type': BATCH });
      expect([refused.status, refused.body]).toMatchObject([
        413,
        { code: 'payload_too_large', errors: [{ pointer: '/0/data' }] },
      ]);
      const single = await post(over.slice(1, -1), { 'content-type': STRUCTURED });
      expect(single.status).toBe(413);
      const most = 16 * 1024 * 1024;
      const whole = await post(JSON.stringify('x'.repeat(most)), { 'content-type': BATCH });
      expect([whole.status, whole.body]).toMatchObject([
        413,
        { detail: `The body may have ${most} bytes at most.` },
      ]);
    });

    it('is refused where its data is no JSON, and where no events are published', async () => {
      const headers = { 'ce-specversion': '1.0', 'ce-id': '9', 'ce-source': '/a', 'ce-type': 'a.b' };
      const refusals: [string, Record<string, string>, number][] = [
        ['<x/>', { ...headers, 'content-type': 'application/xml' }, 415],
        ['{}', { ...headers, 'content-type': 'application/cloudevents+avro' }, 415],
        ['not json', { ...headers, 'content-type': 'application/json' }, 400],
        ['{}', { 'content-type': 'application/vnd.acme+json' }, 415],
        [JSON.stringify({ ...EVENT, data_base64: 'AA==' }), { 'content-type': STRUCTURED }, 422],
        [JSON.stringify({ ...EVENT, datacontenttype: 'text/xml' }), { 'content-type': STRUCTURED }, 422],
        [JSON.stringify({ ...EVENT, specversion: '0.3' }), { 'content-type': STRUCTURED }, 422],
      ];
      for (const [body, sent, status] of refusals) {
        const answer = await post(body, sent);
        expect([body, answer.status, typeof answer.body.code]).toEqual([body, status, 'string']);
      }
      const vendor = await post('[1]', { ...headers, 'content-type': 'application/vnd.acme+json' });
      expect(vendor.status).toBe(202);
      for (const path of [`${account.path}/events/batch`, `${account.path}/endpoints`, '/accounts']) {
        const answer = await system.call('POST', path, JSON.stringify(EVENT), { 'content-type': STRUCTURED });
        expect([path, answer.status]).toEqual([path, 415]);
      }
      const nowhere = await system.call('POST', '/nowhere', '{}', { 'content-type': STRUCTURED });
      expect(nowhere.status).toBe(404);
    });

    it('answers the same again for the same idempotency key, and 422 where only a header differs', async () => {
      const key = { 'idempotency-key': `ce-${lane}` };
      const headers = { 'ce-specversion': '1.0', 'ce-source': '/a', 'ce-type': 'a.b' };
      const json = { 'content-type': 'application/json' };
      const first = await post('1', { ...json, ...headers, ...key, 'ce-id': 'k1' });
      expect((await post('1', { ...json, ...headers, ...key, 'ce-id': 'k1' })).body).toEqual(first.body);
      const other = await post('1', { ...json, ...headers, ...key, 'ce-id': 'k2' });
      expect(other.body).toMatchObject({ code: 'idempotency_key_reused' });
    });
  });
});

it('has the source that the deployment says', async () => {
  const source = 'https://provider.example/events';
  const system = await System.start({ env: { POSTHORN_CLOUDEVENTS_SOURCE: source } });
  const receiver = await Receiver.start();
  try {
    const account = await system.account();
    await account.endpoint({ url: receiver.url, format: 'cloudevents-binary' });
    const { headers } = await receiver.next(() => account.publish());
    expect(headers['ce-source']).toBe(source);
  } finally {
    await system.stop();
    await receiver.stop();
  }
});

describe('guesses at the links of thin events', () => {
  it('are slowed, and a good link is refused unseen and not used up', async () => {
    const system = await System.start({
      env: { POSTHORN_GUESSES_PER_ADDRESS: '5', POSTHORN_PUBLIC_URL: PUBLIC_URL },
    });
    const receiver = await Receiver.start();
    try {
      const account = await system.account();
      await account.endpoint({ url: receiver.url, payload: 'thin' });
      const { body } = await receiver.next(() => account.publish());
      const { url } = JSON.parse(body) as { url: string };
      const base = system.processes[0] ?? '';
      const fetchBy = async (path: string) => (await fetch(`${base}${path}`)).status;
      const guesses = [];
      for (let count = 0; count < 6; count += 1) guesses.push(await fetchBy(`/v1/fetch/guess-${count}`));
      expect(guesses).toEqual([404, 404, 404, 404, 404, 429]);
      expect(await fetchBy(url.slice(PUBLIC_URL.length - 1))).toBe(429);
      expect(await system.sql('SELECT FROM used_fetch_tokens')).toEqual([]);
    } finally {
      await system.stop();
      await receiver.stop();
    }
  });
});
