import { describe, expect, it } from '@jest/globals';
import { CloudEvent, HTTP } from 'cloudevents';
import fc from 'fast-check';
import { splitTags } from '../cloud-events/attributes.js';
import { decodeHeaderValue } from '../cloud-events/header-values.js';
import { contentModeOf } from '../cloud-events/media-types.js';
import { attributesOfHeaders } from '../cloud-events/read-cloud-event.js';
import { binaryFormat, structuredFormat } from './cloud-events-formats.js';
import { compose, markTest, thinTo } from './compose.js';
import type { Draft } from './message.js';
import { posthornFormat } from './posthorn-format.js';

const sourceOf = (accountId: string) => `/accounts/${accountId}`;
/** What parsing and printing again would change: a large number, a key that is there twice, the order, spaces. */
const DATA = '{ "b":12345678901234567890, "a":1e2, "a":"\\u0041", "10":1,"2":2 }';

const draft = (change: Partial<Draft> = {}): Draft => ({
  url: 'https://receiver.example/in',
  headers: {},
  body: DATA,
  event: {
    id: 'evt_1',
    accountId: 'one',
    type: 'invoice.paid',
    occurredAt: new Date('2026-11-23T21:34:17.973Z'),
    version: '2',
    tags: ['eu', 'a,b'],
  },
  isShaped: false,
  context: null,
  link: null,
  ...change,
});

const facts = fc.record({
  type: fc.stringMatching(/^[a-z]{1,10}(\.[a-z]{1,10}){0,3}$/),
  occurredAt: fc.date({ min: new Date(0), max: new Date('9999-01-01'), noInvalidDate: true }),
  version: fc.string({ minLength: 1, maxLength: 32, unit: 'binary' }),
  tags: fc.array(fc.string({ minLength: 1, maxLength: 20, unit: 'binary' }), { maxLength: 5 }),
});

describe('the format of ours', () => {
  it('carries the data byte for byte', () => {
    const { body, headers, url } = posthornFormat(draft());
    expect(body).toBe(
      `{"id":"evt_1","type":"invoice.paid","timestamp":"2026-11-23T21:34:17.973Z","version":"2","data":${DATA}}`,
    );
    expect(headers).toEqual({ 'content-type': 'application/json' });
    expect(url).toBe('https://receiver.example/in');
  });

  it('is left out where a transformation has shaped the event', () => {
    expect(posthornFormat(draft({ body: '{"text":1e2}', isShaped: true })).body).toBe('{"text":1e2}');
  });

  it('has a link in place of the data of a thin event', () => {
    const { body } = posthornFormat(draft({ link: '/v1/x"y' }));
    expect(JSON.parse(body)).toEqual({
      id: 'evt_1',
      type: 'invoice.paid',
      timestamp: '2026-11-23T21:34:17.973Z',
      version: '2',
      url: '/v1/x"y',
    });
  });
});

describe('a structured CloudEvent', () => {
  it('carries the data byte for byte among the attributes', () => {
    const { body, headers } = structuredFormat(sourceOf)(draft());
    expect(headers).toEqual({ 'content-type': 'application/cloudevents+json' });
    expect(body).toBe(
      '{"specversion":"1.0","id":"evt_1","source":"/accounts/one","type":"invoice.paid","time":"2026-11-23T21:34:17.973Z",' +
        `"posthornversion":"2","posthorntags":"eu,a\\\\,b","datacontenttype":"application/json","data":${DATA}}`,
    );
  });

  it('is read by the CloudEvents package as what it was made of', () => {
    fc.assert(
      fc.property(facts, fc.json(), (event, data) => {
        const made = structuredFormat(sourceOf)(draft({ body: data, event: { ...draft().event, ...event } }));
        const read = HTTP.toEvent({ headers: made.headers, body: made.body }) as CloudEvent;
        expect(read.validate()).toBe(true);
        expect([read.id, read.source, read.type, read.time]).toEqual([
          'evt_1',
          '/accounts/one',
          event.type,
          event.occurredAt.toISOString(),
        ]);
        // The package takes what is falsy for absent.
        if (JSON.parse(data)) expect(read.data).toEqual(JSON.parse(data));
      }),
    );
  });

  it('points at the data of a thin event', () => {
    const { body } = structuredFormat(sourceOf)(draft({ link: 'https://posthorn.example/v1/fetch/x' }));
    const read = JSON.parse(body) as Record<string, unknown>;
    expect(read.dataref).toBe('https://posthorn.example/v1/fetch/x');
    expect('data' in read || 'datacontenttype' in read).toBe(false);
  });
});

describe('a binary CloudEvent', () => {
  it('has the attributes as headers and the data as the body', () => {
    expect(binaryFormat(sourceOf)(draft())).toEqual({
      url: 'https://receiver.example/in',
      headers: {
        'content-type': 'application/json',
        'ce-specversion': '1.0',
        'ce-id': 'evt_1',
        'ce-source': '/accounts/one',
        'ce-type': 'invoice.paid',
        'ce-time': '2026-11-23T21:34:17.973Z',
        'ce-posthornversion': '2',
        'ce-posthorntags': 'eu,a\\,b',
      },
      body: DATA,
    });
  });

  it('is read by the CloudEvents package, and its headers decode to what they were made of', () => {
    fc.assert(
      fc.property(facts, fc.json(), (event, data) => {
        const made = binaryFormat(sourceOf)(draft({ body: data, event: { ...draft().event, ...event } }));
        for (const value of Object.values(made.headers)) expect(value).toMatch(/^[\x21-\x7e]+$/);
        const read = HTTP.toEvent({ headers: { ...made.headers }, body: made.body }) as CloudEvent;
        expect(read.validate()).toBe(true);
        expect([read.id, read.type]).toEqual(['evt_1', event.type]);
        expect(contentModeOf(made.headers)).toBe('binary');
        const back = attributesOfHeaders(made.headers);
        const allowed = (text: string) => text.replace(/[\p{Cc}\p{Noncharacter_Code_Point}]/gu, '');
        expect(back).toMatchObject({ ok: true, attributes: { type: event.type } });
        expect(decodeHeaderValue(made.headers['ce-posthornversion'] ?? '')).toBe(allowed(event.version));
        expect(splitTags(decodeHeaderValue(made.headers['ce-posthorntags'] ?? '') ?? '')).toEqual(
          event.tags.map((tag) => allowed(tag).trim()).filter((tag) => tag !== ''),
        );
      }),
    );
  });

  it('has no body and no type of one when it is thin', () => {
    const { body, headers } = binaryFormat(sourceOf)(draft({ link: '/v1/a b' }));
    expect([body, headers['content-type'], headers['ce-dataref']]).toEqual(['', undefined, '/v1/a%20b']);
  });
});

describe('composing', () => {
  it('takes steps in their order and the format last', () => {
    const made = compose(draft(), [(one) => ({ ...one, body: '1' }), markTest, thinTo('/x')], posthornFormat);
    expect(made).toEqual({
      url: 'https://receiver.example/in',
      headers: { 'webhook-test': 'true', 'content-type': 'application/json' },
      body: '{"id":"evt_1","type":"invoice.paid","timestamp":"2026-11-23T21:34:17.973Z","version":"2","url":"/x"}',
    });
  });

  it('waits for a step that takes its time, and goes on with the next', async () => {
    const slow = (one: Draft) => Promise.resolve({ ...one, body: '[1]' });
    const then = (one: Draft) => ({ ...one, body: `${one.body.slice(0, -1)},2]` });
    const made = compose(draft(), [slow, then], binaryFormat(sourceOf));
    expect(made).toBeInstanceOf(Promise);
    expect((await made).body).toBe('[1,2]');
  });
});
