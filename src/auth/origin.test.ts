import { describe, expect, it } from '@jest/globals';
import { addressOf } from './origin.js';

describe('the address that a request comes from', () => {
  it.each([
    ['203.0.113.7', '127.0.0.1', '203.0.113.7'],
    ['2001:db8::7', '127.0.0.1', '2001:db8::7'],
    ['::ffff:203.0.113.7', '::ffff:127.0.0.1', '203.0.113.7'],
    ['::ffff:7', '127.0.0.1', '::ffff:7'],
    ['unknown', '127.0.0.1', '127.0.0.1'],
    ['203.0.113.7:4433', '::ffff:127.0.0.1', '127.0.0.1'],
    ['', '127.0.0.1', '127.0.0.1'],
    ['<script>', undefined, null],
  ])('of %j, forwarded by %j, is %j', (forwarded, peer, address) => {
    expect(addressOf(forwarded, peer)).toBe(address);
  });
});
