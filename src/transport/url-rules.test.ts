import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseEgressNetworks, PUBLIC_ONLY } from './egress-networks.js';
import { checkUrl } from './url-rules.js';

const LOOPBACK = parseEgressNetworks('127.0.0.0/8,::1/128');
const codeOf = (url: string, allow = PUBLIC_ONLY) => {
  const checked = checkUrl(url, allow);
  return checked.ok ? 'ok' : checked.code;
};

describe('checkUrl', () => {
  it.each([
    'https://example.com',
    'https://example.com/hooks?tenant=5&b=%2F',
    'https://example.com:8443/hooks',
    'https://EXAMPLE.com/',
    'https://my_server.example.com/',
    'https://8.8.8.8/',
    'https://[2606:4700::1111]:8443/',
    'HTTPS://example.com/path@with@at',
    'https://example.com/?mail=a@b.c',
  ])('takes %s', (url) => {
    expect(codeOf(url)).toBe('ok');
  });

  it.each([
    ['url_scheme_refused', 'http://example.com/'],
    ['url_scheme_refused', 'http://8.8.8.8/'],
    ['url_scheme_refused', 'ftp://example.com/'],
    ['url_scheme_refused', 'ws://example.com/'],
    ['url_invalid', 'file:/etc/passwd'],
    ['url_invalid', 'javascript:alert(1)'],
    ['url_invalid', ''],
    ['url_invalid', 'example.com/hooks'],
    ['url_invalid', '//example.com/hooks'],
    ['url_invalid', 'https:example.com'],
    ['url_invalid', 'https:/example.com'],
    ['url_invalid', 'https://'],
    ['url_invalid', ' https://example.com/'],
    ['url_invalid', 'https://example.com/a b'],
    ['url_invalid', 'https://exam\tple.com/'],
    ['url_invalid', 'https://example.com/\u0000'],
    ['url_invalid', 'https:\\\\example.com\\'],
    ['url_invalid', 'https://example.com\\@evil.example/'],
    ['url_invalid', 'https://example.com:99999/'],
    ['url_invalid', 'https://a..example.com/'],
    ['url_invalid', 'https://example.com../'],
    ['url_invalid', 'https://-bad.example.com/'],
    ['url_invalid', `https://${'a'.repeat(64)}.example.com/`],
    ['url_invalid', 'https://exam%00ple.com/'],
    ['url_invalid', 'https://[fe80::1%25eth0]/'],
    ['url_credentials_refused', 'https://user:pass@example.com/'],
    ['url_credentials_refused', 'https://user@example.com/'],
    ['url_credentials_refused', 'https://@example.com/'],
    ['url_credentials_refused', 'https://example.com:443@evil.example/'],
    ['url_fragment_refused', 'https://example.com/#top'],
    ['url_fragment_refused', 'https://example.com/#'],
    ['url_too_long', `https://example.com/${'a'.repeat(2048)}`],
    ['url_too_long', `https://example.com/${'ä'.repeat(1000)}`],
    ['host_refused', 'https://localhost/'],
    ['host_refused', 'https://LOCALHOST./'],
    ['host_refused', 'https://app.localhost/'],
    ['host_refused', 'https://printer.local/'],
    ['host_refused', 'https://api.internal/'],
    ['host_refused', 'https://router.home.arpa/'],
    ['host_refused', 'https://intranet/'],
    ['host_refused', 'https://metadata.google.internal/'],
    ['host_refused', 'https://metadata.google.internal./computeMetadata/v1/'],
    ['host_refused', 'https://metadata/'],
  ])('answers %s to %j', (code, url) => {
    expect(codeOf(url)).toBe(code);
  });

  it.each([
    22, 23, 25, 110, 143, 465, 587, 993, 995, 1433, 1521, 2375, 3306, 5432, 5672, 6379, 9200, 9300, 10250,
    11211, 27017,
  ])('refuses port %i, in allowed networks too', (port) => {
    expect(codeOf(`https://example.com:${port}/`)).toBe('url_port_refused');
    expect(codeOf(`http://127.0.0.1:${port}/`, LOOPBACK)).toBe('url_port_refused');
  });

  it.each([80, 443, 3000, 8080, 8443, 49152, 65535])('takes port %i', (port) => {
    expect(codeOf(`https://example.com:${port}/`)).toBe('ok');
  });

  it.each([
    '127.0.0.1',
    '127.1',
    '0177.0.0.1',
    '0x7f.0.0.1',
    '0x7f000001',
    '2130706433',
    '017700000001',
    '127.0.0.1.',
    '１２７.0.0.1',
    '127。0。0。1',
    '0',
    '%31%32%37.0.0.1',
    '[::1]',
    '[0:0:0:0:0:0:0:1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    '169.254.169.254',
    '0xa9fea9fe',
    '10.0.0.1',
    '192.168.1.1',
    '168.63.129.16',
    '[fd00:ec2::254]',
    '[4000::1]',
  ])('refuses the host %s as an address', (host) => {
    expect(codeOf(`https://${host}/`)).toBe('address_refused');
  });

  it('refuses every IPv4 loopback address in every spelling of its number', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0x7f000000, max: 0x7fffffff }), (n) => {
        for (const host of [String(n), `0x${n.toString(16)}`, `0${n.toString(8)}`, `0x7f.${n % 0x1000000}`]) {
          expect([host, codeOf(`https://${host}/`)]).toEqual([host, 'address_refused']);
        }
      }),
    );
  });

  it('does not repeat the address it refuses', () => {
    expect(checkUrl('https://10.1.2.3/', PUBLIC_ONLY)).toEqual({
      ok: false,
      code: 'address_refused',
      detail: 'The host of the URL is a private address.',
    });
  });

  it.each([
    ['https://Bücher.example/x', 'https://xn--bcher-kva.example/x'],
    ['https://example.com./x', 'https://example.com/x'],
    ['https://example.com:443', 'https://example.com/'],
    ['http://0x7f.1:8080/', 'http://127.0.0.1:8080/'],
    ['https://[::FFFF:127.0.0.1]/', 'https://[::ffff:7f00:1]/'],
  ])('normalises %s to %s', (given, normal) => {
    expect(checkUrl(given, LOOPBACK)).toMatchObject({ ok: true, url: new URL(normal) });
  });

  it('takes http: for an address in an allowed network and for no other', () => {
    expect(codeOf('http://127.0.0.1:3000/', LOOPBACK)).toBe('ok');
    expect(codeOf('http://[::1]:3000/', LOOPBACK)).toBe('ok');
    expect(codeOf('http://8.8.8.8/', LOOPBACK)).toBe('url_scheme_refused');
    expect(codeOf('http://10.0.0.1/', LOOPBACK)).toBe('address_refused');
  });

  it('leaves http: and local names to what they resolve to once a network is allowed', () => {
    for (const url of [
      'http://example.com/',
      'https://localhost/',
      'http://localhost:3000/',
      'http://receiver:3000/',
    ]) {
      expect(checkUrl(url, LOOPBACK)).toMatchObject({ ok: true, address: null, onlyAllowedNetworks: true });
    }
    expect(checkUrl('https://example.com/', LOOPBACK)).toMatchObject({ onlyAllowedNetworks: false });
  });

  it('refuses metadata services by name whatever is allowed', () => {
    expect(codeOf('http://metadata.google.internal/', parseEgressNetworks('0.0.0.0/0,::/0'))).toBe(
      'host_refused',
    );
  });

  it('never throws, and passes only https: where nothing is allowed', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.webUrl({ withFragments: true })), (text) => {
        const checked = checkUrl(text, PUBLIC_ONLY);
        expect(!checked.ok || checked.url.protocol === 'https:').toBe(true);
      }),
    );
  });
});
