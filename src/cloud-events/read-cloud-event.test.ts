import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { joinTags, splitTags } from './attributes.js';
import { decodeHeaderValue, encodeHeaderValue } from './header-values.js';
import { contentModeOf, isJson } from './media-types.js';
import { attributesOfHeaders, externalIdOf, readCloudEvent } from './read-cloud-event.js';

const EVENT = { specversion: '1.0', id: '7', source: '/orders', type: 'order.placed' };
const read = (change: Record<string, unknown> = {}) =>
  readCloudEvent({ ...EVENT, ...change }, (attribute) => `/${attribute}`);
const fieldsOf = (change: Record<string, unknown>) => {
  const reading = read(change);
  return reading.ok ? reading.event.fields : reading.errors;
};
const wrongOf = (change: Record<string, unknown>) => {
  const reading = read(change);
  return reading.ok ? [] : reading.errors.map(({ pointer }) => pointer);
};

describe('a CloudEvent that is published', () => {
  it('says its type, and by source and id which event it is', () => {
    expect(fieldsOf({})).toEqual({ type: 'order.placed', externalId: '/orders 7' });
  });

  it('says when it happened, and by extensions its version, tags and priority', () => {
    expect(
      fieldsOf({ time: '2026-01-01T00:00:00Z', version: 3, tags: 'eu, big\\, bad', priority: 'high' }),
    ).toEqual({
      type: 'order.placed',
      externalId: '/orders 7',
      timestamp: '2026-01-01T00:00:00Z',
      version: '3',
      tags: ['eu', 'big, bad'],
      priority: 'high',
    });
  });

  it('means the extension of ours where somebody has one of the same short name', () => {
    const reading = read({ version: 'theirs', posthornversion: '4' });
    expect(reading.ok && reading.event.fields.version).toBe('4');
    expect(reading.ok && reading.event.attributeOf('version')).toBe('posthornversion');
  });

  it('may have attributes that mean nothing here, and null for none at all', () => {
    expect(
      fieldsOf({
        subject: 's',
        dataschema: 'urn:x',
        traceparent: '00-1',
        retries: 2,
        urgent: true,
        time: null,
      }),
    ).toEqual({ type: 'order.placed', externalId: '/orders 7' });
  });

  it('is refused with a pointer to each attribute that is wrong', () => {
    expect(wrongOf({ specversion: '0.3', id: '', source: 'a b', datacontenttype: 'text/plain' })).toEqual([
      '/specversion',
      '/id',
      '/source',
      '/datacontenttype',
    ]);
    expect(wrongOf({ id: undefined, source: 7 })).toEqual(['/id', '/source']);
    expect(wrongOf({ data_base64: 'AA==', Upper: '1', nested: {} })).toEqual([
      '/data_base64',
      '/Upper',
      '/nested',
    ]);
  });

  it('is told from every other by source and id, however long', () => {
    const text = fc.stringMatching(/^[a-z/]{1,300}$/);
    const id = fc.stringMatching(/^[a-z ]{1,300}$/);
    fc.assert(
      fc.property(text, id, text, id, (source, one, otherSource, other) => {
        const [first, second] = [externalIdOf(source, one), externalIdOf(otherSource, other)];
        expect(first.length).toBeLessThanOrEqual(256);
        expect(first === second).toBe(source === otherSource && one === other);
      }),
    );
    expect(externalIdOf('a', 'b c')).not.toBe(externalIdOf('a b', 'c').replace('a b', 'a'));
  });
});

describe('the headers of a CloudEvent', () => {
  it('are percent-encoded as the binding says', () => {
    // The example of §3.1.3.2.
    expect(encodeHeaderValue('Euro € 😀')).toBe('Euro%20%E2%82%AC%20%F0%9F%98%80');
    expect(encodeHeaderValue('100% "sure"')).toBe('100%25%20%22sure%22');
  });

  it('give back every text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const encoded = encodeHeaderValue(text);
        expect(encoded).toMatch(/^[\x21\x23\x24\x26-\x7e]*(%[0-9A-F]{2}[\x21\x23\x24\x26-\x7e]*)*$/);
        expect(decodeHeaderValue(encoded)).toBe(text);
      }),
    );
  });

  it('may be quoted, as the binding before had it, and are refused where they encode nothing', () => {
    expect(decodeHeaderValue('"a \\"b\\""')).toBe('a "b"');
    expect(decodeHeaderValue('%ff')).toBeNull();
    expect(attributesOfHeaders({ 'ce-id': '%e2%82%ac', 'ce-source': '%', 'ce-x-y': '%', host: 'h' })).toEqual(
      {
        ok: false,
        errors: [{ pointer: 'ce-source', detail: 'is not percent-encoded UTF-8' }],
      },
    );
    expect(attributesOfHeaders({ 'ce-id': '%e2%82%ac', 'ce-data': 'x' })).toEqual({
      ok: true,
      attributes: { id: '€' },
    });
  });

  it('tell the content mode', () => {
    const mode = (type: string | undefined, version?: string) =>
      contentModeOf({
        'content-type': type,
        ...(version === undefined ? {} : { 'ce-specversion': version }),
      });
    expect(mode('application/json')).toBeNull();
    expect(mode('application/json', '1.0')).toBe('binary');
    expect(mode(undefined, '1.0')).toBe('binary');
    expect(mode('Application/CloudEvents+JSON; charset=utf-8')).toBe('structured');
    expect(mode('application/cloudevents-batch+json')).toBe('batch');
  });

  it.each([
    ['application/json', true],
    ['application/json; charset=utf-8', true],
    ['application/vnd.acme+json', true],
    ['text/json', true],
    ['text/plain', false],
    ['application/jsonl', false],
    ['', false],
  ])('take %s for JSON: %s', (type, expected) => {
    expect(isJson(type)).toBe(expected);
  });
});

describe('tags', () => {
  it('come back from their text', () => {
    const tag = fc.string({ minLength: 1, unit: 'binary' }).map((text) => text.trim());
    fc.assert(
      fc.property(fc.array(tag.filter((text) => text !== '')), (tags) => {
        expect(splitTags(joinTags(tags))).toEqual(tags);
      }),
    );
  });
});
