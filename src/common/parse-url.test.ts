import { expect, it } from '@jest/globals';
import { parseUrl } from './parse-url.js';

it('reads a host outside ASCII the same way however often it is asked', () => {
  let refused = 0;
  for (let count = 0; count < 50_000; count += 1) {
    if (parseUrl('https://B\u00fccher.example/')?.host !== 'xn--bcher-kva.example') refused += 1;
  }
  expect(refused).toBe(0);
});

it.each(['', 'no url', 'https://', 'https://a b/'])('makes nothing of %j', (text) => {
  expect(parseUrl(text)).toBeNull();
});
