import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { checkChange } from './change.js';

const target = { url: 'https://hooks.example.com:8443/in?key=1', taken: ['x-hub-signature-256'] };
const urlFor = (path: unknown) => checkChange(target, { path }).url;

describe('a changed path', () => {
  test.each([
    ['/other', 'https://hooks.example.com:8443/other?key=1'],
    ['/other?a=b', 'https://hooks.example.com:8443/other?a=b'],
    ['/other?', 'https://hooks.example.com:8443/other?'],
    ['//evil.example/x', 'https://hooks.example.com:8443//evil.example/x?key=1'],
    ['/@evil.example', 'https://hooks.example.com:8443/@evil.example?key=1'],
    ['/a/../../b', 'https://hooks.example.com:8443/b?key=1'],
  ])('%s leads to %s', (path, url) => {
    expect(urlFor(path)).toBe(url);
  });

  test.each([
    '',
    'other',
    'https://evil.example/',
    '@evil.example/',
    ':80/',
    '.evil.example/',
    '/a b',
    '/a\\b',
    '\\\\evil.example',
    '/a\n',
    '/a#b',
    '/a\u0000',
    1,
    null,
    ['/a'],
    { toString: () => '/a' },
    `/${'a'.repeat(2100)}`,
  ])('%j is refused', (path) => {
    expect(() => urlFor(path)).toThrow(expect.objectContaining({ name: 'TransformError' }));
  });

  it('never leads to another origin', () => {
    const tricky = fc.string({ unit: fc.constantFrom(...Array.from('/\\@:#?.%[]aé0 \t')), maxLength: 20 });
    fc.assert(
      fc.property(
        fc.oneof(tricky, fc.string({ unit: 'binary' }), fc.webUrl()),
        fc.boolean(),
        (text, slash) => {
          let url: string;
          try {
            url = urlFor(slash ? `/${text}` : text);
          } catch {
            return;
          }
          const parsed = new URL(url);
          expect(parsed.origin).toBe('https://hooks.example.com:8443');
          expect(parsed.username + parsed.password + parsed.hash).toBe('');
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('changed headers', () => {
  const headersFor = (headers: unknown) => checkChange(target, { headers }).headers;

  it('are added by their names in lower case', () => {
    expect(headersFor({ 'X-Team': 'a', Accept: 'b' })).toEqual({ 'x-team': 'a', accept: 'b' });
  });

  test.each([
    { 'webhook-id': 'x' },
    { 'Webhook-Signature': 'x' },
    { 'webhook-timestamp': '1' },
    { 'X-Hub-Signature-256': 'x' },
    { host: 'x' },
    { 'content-type': 'text/plain' },
    { 'transfer-encoding': 'chunked' },
    { 'x-a': 'a\r\nx-b: c' },
    { 'x a': 'a' },
    { 'x-a': 1 },
    { 'x-a': 'a'.repeat(5_000) },
    { 'x-a': 'a', 'X-A': 'b' },
    Object.fromEntries(Array.from({ length: 21 }, (_, index) => [`x-${index}`, 'a'])),
    ['a'],
    'x-a: b',
  ])('%j are refused', (headers) => {
    expect(() => headersFor(headers)).toThrow(expect.objectContaining({ name: 'TransformError' }));
  });

  it('change no prototype', () => {
    const headers = JSON.parse('{"__proto__":"x","constructor":"y"}') as unknown;
    expect(Object.getPrototypeOf(headersFor(headers))).toBe(Object.prototype);
    expect(headersFor(headers)).toMatchObject({ constructor: 'y' });
  });
});

it('leaves what it is not asked to change', () => {
  expect(checkChange(target, {})).toEqual({ url: target.url, headers: {}, body: undefined });
});
