import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { parseUrlTemplate, renderUrl, type UrlScope } from './url-template.js';

const scopeOf = (data: unknown, tags: string[] = []): UrlScope => ({
  event: {
    id: 'evt_1',
    type: 'invoice.paid',
    version: '1',
    timestamp: '2026-01-01T00:00:00.000Z',
    data,
    tags,
  },
  account: { id: 'acc_1' },
  endpoint: { id: 'ep_1' },
});
const render = (template: string, data: unknown, tags?: string[]) =>
  renderUrl(parseUrlTemplate(template), scopeOf(data, tags));
const refused = expect.objectContaining({ name: 'UrlTemplateError' });

describe('the URL of a lookup', () => {
  test.each([
    ['https://crm.example/c', {}, 'https://crm.example/c'],
    ['https://crm.example/c/{{ event.data.id }}', { id: 7 }, 'https://crm.example/c/7'],
    ['https://crm.example/c/{{ event.data.id }}', { id: 'a/b?c#d' }, 'https://crm.example/c/a%2Fb%3Fc%23d'],
    ['https://crm.example/c/{{event.data.id}}.json', { id: '..' }, 'https://crm.example/c/...json'],
    [
      'https://crm.example/?q={{ event.data.q }}&n=1',
      { q: 'a&b=c d' },
      'https://crm.example/?q=a%26b%3Dc%20d&n=1',
    ],
    ['https://crm.example?q={{ event.data.q | upcase }}', { q: 'ü' }, 'https://crm.example?q=%C3%9C'],
    ['https://crm.example/{{ event.data.no | default: "none" }}', {}, 'https://crm.example/none'],
    [
      'https://crm.example/{{ account.id }}/{{ endpoint.id }}/{{ event.type }}/{{ event.tags[0] }}',
      {},
      'https://crm.example/acc_1/ep_1/invoice.paid/eu',
    ],
  ])('%s is filled in with %j', (template, data, url) => {
    expect(render(template, data, ['eu'])).toBe(url);
  });

  test.each([
    'https://{{ event.data.host }}/',
    'https://crm.{{ event.data.host }}/',
    'https://crm.example{{ event.data.path }}',
    'https://crm.example:{{ event.data.port }}/',
    '{{ event.data.url }}',
    '{{ event.data.scheme }}://crm.example/',
    'ftp://crm.example/',
    '/c/{{ event.data.id }}',
    'https://crm.example/?{{ event.data.name }}=1',
    'https://crm.example/?a=1&{{ event.data.name }}',
    'https://crm.example/{% if event.data.a %}a{% endif %}',
    'https://crm.example/{% raw %}{{ a }}{% endraw %}',
    'https://crm.example/{{ event.data.a | no_such_filter }}',
    'https://crm.example/{{ event.data.a | raw }}',
    'https://crm.example/{{ event.data.a | strip_html }}',
    'https://crm.example/{{ event.data.a',
  ])('%s is refused', (template) => {
    expect(() => parseUrlTemplate(template)).toThrow(refused);
  });

  test.each([
    ['https://crm.example/{{ event.data.id }}', {}, 'is empty'],
    ['https://crm.example/{{ event.data.id }}', { id: '' }, 'is empty'],
    ['https://crm.example/{{ event.data.constructor.name }}', {}, 'is empty'],
    ['https://crm.example/c/{{ event.data.id }}', { id: '..' }, 'another path'],
    ['https://crm.example/c/{{ event.data.id }}/x', { id: '.' }, 'another path'],
    ['https://crm.example/c/.{{ event.data.id }}', { id: '.' }, 'another path'],
  ])('%s does not come of %j', (template, data, message) => {
    expect(() => render(template, data)).toThrow(
      expect.objectContaining({ name: 'UrlTemplateError', message: expect.stringContaining(message) }),
    );
  });

  it('is bounded in its length and in what is filled in', () => {
    for (const rest of ['{{ event.id }}'.repeat(21), 'a'.repeat(5_000)])
      expect(() => parseUrlTemplate(`https://crm.example/${rest}`)).toThrow(refused);
    expect(() => render('https://crm.example/{{ event.data.id }}', { id: 'a'.repeat(3_000) })).toThrow(
      refused,
    );
  });

  it('keeps its origin, its segments and its parameters, whatever an event holds', () => {
    const template =
      'https://crm.example:8443/a/{{ event.data.one }}/b-{{ event.data.two }}?q={{ event.data.three }}&n=1';
    const tricky = fc.string({
      unit: fc.constantFrom(...Array.from('/\\@:#?&=+.%;2eEfF{}[]aé \t\n\u0000')),
      maxLength: 12,
    });
    const value = fc.oneof(tricky, fc.string({ unit: 'binary' }), fc.webUrl(), fc.integer(), fc.jsonValue());
    const read = parseUrlTemplate(template);
    let made = 0;
    fc.assert(
      fc.property(value, value, value, (one, two, three) => {
        let url: URL;
        try {
          url = new URL(renderUrl(read, scopeOf({ one, two, three })));
        } catch (error) {
          expect(error).toEqual(refused);
          return;
        }
        made += 1;
        expect(url.origin).toBe('https://crm.example:8443');
        expect(url.username + url.password + url.hash).toBe('');
        const segments = url.pathname.split('/');
        expect([segments.length, segments[1], segments[3]?.slice(0, 2)]).toEqual([4, 'a', 'b-']);
        expect([...url.searchParams.keys()]).toEqual(['q', 'n']);
        expect(url.searchParams.get('n')).toBe('1');
      }),
      { numRuns: 3_000 },
    );
    expect(made).toBeGreaterThan(300);
  });

  it('gives text back to whoever decodes it', () => {
    const read = parseUrlTemplate('https://crm.example/?q={{ event.data.q }}');
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 100 }), (q) => {
        expect(new URL(renderUrl(read, scopeOf({ q }))).searchParams.get('q')).toBe(q);
      }),
    );
  });

  it('is made in no time of a large event that means harm', () => {
    const hostile = ['<script', ' ', 'a', '{{'].map((text) => text.repeat(100_000));
    for (const id of hostile)
      expect(() => render('https://crm.example/{{ event.data.id | upcase | size }}', { id })).not.toThrow();
  });
});
