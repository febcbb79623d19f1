import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { authority, namesAreTheProxys, parseEgressProxy } from './egress-proxy.js';

describe('parseEgressProxy', () => {
  it.each([
    ['http://proxy.example.com:3128', { tls: false, host: 'proxy.example.com', port: 3128 }],
    ['http://10.0.0.5:3128/', { tls: false, host: '10.0.0.5', port: 3128 }],
    ['https://proxy.example.com:8443', { tls: true, host: 'proxy.example.com', port: 8443 }],
    ['http://[fd00::1]:3128', { tls: false, host: 'fd00::1', port: 3128 }],
    ['http://proxy', { tls: false, host: 'proxy', port: 80 }],
    ['https://proxy', { tls: true, host: 'proxy', port: 443 }],
  ])('reads %s', (text, expected) => {
    expect(parseEgressProxy(text)).toEqual({ ...expected, authorization: null });
  });

  it('makes Basic credentials of any user name without a colon and any password', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', minLength: 1 }).filter((user) => !user.includes(':')),
        fc.string({ unit: 'grapheme' }),
        (user, password) => {
          const url = `http://${encodeURIComponent(user)}:${encodeURIComponent(password)}@proxy:3128`;
          const [, encoded = ''] = parseEgressProxy(url).authorization?.split('Basic ') ?? [];
          expect(Buffer.from(encoded, 'base64').toString('utf8')).toBe(`${user}:${password}`);
        },
      ),
    );
  });

  it.each([
    'proxy.example.com:3128',
    'socks5://user:hunter2@proxy:1080',
    'http://user:hunter2@proxy:99999',
    'http://user:hunter2@proxy:3128/path',
    'http://user:hunter2@proxy:3128?a',
    'http://user:hunter2@proxy:3128#a',
    'http://user:hunter2%zz@proxy:3128',
    'http://us%3Aer:hunter2@proxy:3128',
    'http://user:hunter2@',
    '',
  ])('refuses %j without repeating the password', (text) => {
    let message = '';
    try {
      parseEgressProxy(text);
    } catch (error) {
      message = String(error);
    }
    expect(message).not.toBe('');
    expect(message).not.toContain('hunter2');
  });
});

describe('namesAreTheProxys', () => {
  it('is so only where there is a proxy that resolves', () => {
    const proxy = 'http://proxy:3128';
    expect(namesAreTheProxys({ EGRESS_PROXY: proxy, EGRESS_PROXY_RESOLVES: 'proxy' })).toBe(true);
    expect(namesAreTheProxys({ EGRESS_PROXY: proxy, EGRESS_PROXY_RESOLVES: 'posthorn' })).toBe(false);
    expect(namesAreTheProxys({ EGRESS_PROXY: undefined, EGRESS_PROXY_RESOLVES: 'proxy' })).toBe(false);
  });
});

describe('authority', () => {
  it('puts an IPv6 address into brackets, and nothing else', () => {
    expect(authority('2606:4700::1111', 443)).toBe('[2606:4700::1111]:443');
    expect(authority('8.8.8.8', 443)).toBe('8.8.8.8:443');
    expect(authority('hooks.example.com', 8443)).toBe('hooks.example.com:8443');
  });
});
