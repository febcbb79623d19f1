import { describe, expect, it } from '@jest/globals';
import { CloudEvent, HTTP } from 'cloudevents';
import fc from 'fast-check';
import { contentModeOf } from '../cloud-events/media-types.js';
import { Problem } from '../common/problems.js';
import { type Publication, PublicationPipe, pointersIn } from './publication.js';

const pipe = new PublicationPipe();

/** What a server makes of such a request. */
const post = (headers: Record<string, string>, text: string): Promise<Publication> =>
  pipe.transform({
    mode: contentModeOf(headers),
    headers,
    body: text === '' ? undefined : JSON.parse(text),
    text,
  });

const errorsOf = async (headers: Record<string, string>, text: string) => {
  try {
    await post(headers, text);
    return null;
  } catch (error) {
    const { code, errors } = error as Problem;
    return [code, errors.map(({ pointer }) => pointer)];
  }
};

const STRUCTURED = { 'content-type': 'application/cloudevents+json' };
const BATCH = { 'content-type': 'application/cloudevents-batch+json' };
const BINARY = {
  'content-type': 'application/json',
  'ce-specversion': '1.0',
  'ce-id': '7',
  'ce-source': '/orders',
  'ce-type': 'order.placed',
};
const EVENT = { specversion: '1.0', id: '7', source: '/orders', type: 'order.placed' };
/** What parsing and printing again would change. */
const DATA = '{ "b":12345678901234567890, "a":1e2, "a":"\\u0041", "10":1 }';

describe('a request to publish', () => {
  it('in our own JSON keeps the data as it came', async () => {
    expect(await post({ 'content-type': 'application/json' }, `{"type":"a.b","data":${DATA}}`)).toEqual({
      items: [
        {
          body: { type: 'a.b', data: JSON.parse(DATA) as unknown },
          data: DATA,
          pointers: pointersIn(''),
        },
      ],
      isBatch: false,
    });
  });

  it('keeps the data of CloudEvents as it came, in every mode', async () => {
    const text = `{"specversion":"1.0","id":"7","source":"/orders","data":${DATA},"type":"order.placed"}`;
    const body = { type: 'order.placed', externalId: '/orders 7', data: null };
    const structured = await post(STRUCTURED, text);
    expect(structured.items).toEqual([{ body, data: DATA, pointers: pointersIn('') }]);
    const binary = await post(BINARY, ` ${DATA}\n`);
    expect(binary.items).toEqual([
      {
        body,
        data: DATA,
        pointers: { type: 'ce-type', version: 'ce-version', data: '', priority: 'ce-priority' },
      },
    ]);
    const batch = await post(BATCH, `[${text},{"data":[1.0 ],${text.slice(1).replace(/"data".*\},/, '')}]`);
    expect(batch.isBatch).toBe(true);
    expect(batch.items.map(({ data }) => data)).toEqual([DATA, '[1.0 ]']);
    expect(batch.items[1]?.pointers).toEqual(pointersIn('/1'));
  });

  it('without data publishes null', async () => {
    expect((await post(STRUCTURED, JSON.stringify(EVENT))).items[0]?.data).toBe('null');
    const headers = Object.entries(BINARY).filter(([name]) => name !== 'content-type');
    expect((await post(Object.fromEntries(headers), '')).items[0]?.data).toBe('null');
  });

  it('is refused with a pointer into the body, or the name of a header', async () => {
    const event = (change: object) => JSON.stringify({ ...EVENT, ...change });
    expect(await errorsOf(STRUCTURED, event({ type: 'no type', priority: 'urgent', time: 'now' }))).toEqual([
      'validation_failed',
      ['/type', '/time', '/priority'],
    ]);
    expect(await errorsOf(STRUCTURED, event({ tags: 'x'.repeat(65), posthornversion: '' }))).toEqual([
      'validation_failed',
      ['/posthornversion', '/tags'],
    ]);
    expect(await errorsOf(STRUCTURED, '[]')).toEqual(['validation_failed', ['']]);
    expect(await errorsOf({ ...BINARY, 'ce-type': 'posthorn.x', 'ce-priority': '1' }, '{}')).toEqual([
      'validation_failed',
      ['ce-type', 'ce-priority'],
    ]);
    expect(await errorsOf(BATCH, `[${event({})},${event({ id: '' })},7]`)).toEqual([
      'validation_failed',
      ['/1/id', '/2'],
    ]);
    for (const text of ['[]', '{}', '7'])
      expect(await errorsOf(BATCH, text)).toEqual(['validation_failed', ['']]);
    expect(await errorsOf({ ...BINARY, 'content-type': 'text/plain' }, '1')).toEqual([
      'unsupported_media_type',
      [],
    ]);
  });

  it('made by the CloudEvents package is read as what it was made of, in every mode', async () => {
    const name = fc.stringMatching(/^[a-z]{1,10}(\.[a-z]{1,10}){0,3}$/);
    const events = fc.record({
      id: fc.stringMatching(/^[\x21-\x7e]{1,40}$/).filter((text) => !/["%]/.test(text)),
      source: fc.stringMatching(/^\/[a-z/]{0,30}$/),
      type: name.filter((type) => !type.startsWith('posthorn.')),
      time: fc
        .date({ min: new Date(0), max: new Date('9999-01-01'), noInvalidDate: true })
        .map((date) => date.toISOString()),
      data: fc.dictionary(fc.string(), fc.jsonValue()),
      posthornpriority: fc.constantFrom('low', 'normal', 'high', 'critical'),
      tags: fc.array(name, { minLength: 1, maxLength: 3 }).map((tags) => tags.join(',')),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(events, { minLength: 1, maxLength: 3 }), async (given) => {
        const expected = given.map(({ id, source, type, time, posthornpriority, tags }) => ({
          type,
          externalId: `${source} ${id}`,
          timestamp: time,
          priority: posthornpriority,
          tags: tags.split(','),
          data: null,
        }));
        const data = given.map((event) => JSON.parse(JSON.stringify(event.data)) as unknown);
        const [first] = given;
        if (!first) return;
        const lower = (headers: object) =>
          Object.fromEntries(
            Object.entries(headers).map(([key, value]) => [key.toLowerCase(), String(value)]),
          );
        for (const message of [HTTP.structured(new CloudEvent(first)), HTTP.binary(new CloudEvent(first))]) {
          const { items } = await post(lower(message.headers), String(message.body));
          expect([items[0]?.body, JSON.parse(items[0]?.data ?? '') as unknown]).toEqual([
            expected[0],
            data[0],
          ]);
        }
        const batch = `[${given.map((event) => new CloudEvent(event).toString()).join()}]`;
        const { items } = await post(BATCH, batch);
        expect(items.map(({ body }) => body)).toEqual(expected);
        expect(items.map((item) => JSON.parse(item.data) as unknown)).toEqual(data);
      }),
    );
  });
});
