import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { classifyAddress } from './address-rules.js';
import { parseEgressNetworks, PUBLIC_ONLY } from './egress-networks.js';

const PUBLIC = { allowed: true, cleartextAllowed: false };
const OPENED = { allowed: true, cleartextAllowed: true };

/** IANA IPv4 Special-Purpose Address Registry, multicast and class E: written down here on their own, not read from the code. */
const SPECIAL_V4: [network: string, bits: number][] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
];
const toNumber = (ip: string) => ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
const toIp = (n: number) => [24, 16, 8, 0].map((shift) => Math.floor(n / 2 ** shift) % 256).join('.');
const isSpecialV4 = (ip: string) =>
  ip === '168.63.129.16' ||
  SPECIAL_V4.some(([network, bits]) => {
    const first = toNumber(network);
    return toNumber(ip) >= first && toNumber(ip) < first + 2 ** (32 - bits);
  });

const anyV4 = fc.integer({ min: 0, max: 2 ** 32 - 1 }).map(toIp);
const specialV4 = fc
  .constantFrom(...SPECIAL_V4)
  .chain(([network, bits]) =>
    fc.integer({ min: 0, max: 2 ** (32 - bits) - 1 }).map((offset) => toIp(toNumber(network) + offset)),
  );
const group = fc.integer({ min: 0, max: 0xffff });
const hex = (n: number) => n.toString(16);

/** Every way in which IPv6 carries an IPv4 address. */
function embeddings(ip: string): string[] {
  const n = toNumber(ip);
  const high = hex(Math.floor(n / 65536));
  const low = hex(n % 65536);
  const inverted = `${hex(0xffff - Math.floor(n / 65536))}:${hex(0xffff - (n % 65536))}`;
  return [
    `::ffff:${ip}`,
    `::ffff:${high}:${low}`,
    `0:0:0:0:0:FFFF:${high}:${low}`,
    `::${ip}`,
    `::${high}:${low}`,
    `64:ff9b::${ip}`,
    `64:ff9b::${high}:${low}`,
    `64:ff9b:1::${high}:${low}`,
    `64:ff9b:1:fffe::${ip}`,
    `2002:${high}:${low}::1`,
    `2001:0:${high}:${low}::1`, // the Teredo server
    `2001:0:4136:e378:8000:63bf:${inverted}`, // the Teredo client
  ];
}

describe('classifyAddress', () => {
  it('refuses the first, the last and any address of each special-purpose IPv4 network', () => {
    for (const [network, bits] of SPECIAL_V4) {
      const last = toIp(toNumber(network) + 2 ** (32 - bits) - 1);
      expect([network, classifyAddress(network, PUBLIC_ONLY).allowed]).toEqual([network, false]);
      expect([last, classifyAddress(last, PUBLIC_ONLY).allowed]).toEqual([last, false]);
    }
    fc.assert(fc.property(specialV4, (ip) => !classifyAddress(ip, PUBLIC_ONLY).allowed));
  });

  it('allows every other IPv4 address, with TLS only', () => {
    fc.assert(
      fc.property(
        anyV4.filter((ip) => !isSpecialV4(ip)),
        (ip) => expect(classifyAddress(ip, PUBLIC_ONLY)).toEqual(PUBLIC),
      ),
      { numRuns: 500 },
    );
  });

  it('allows the neighbours of special-purpose IPv4 networks', () => {
    for (const ip of [
      '9.255.255.255',
      '11.0.0.0',
      '100.63.255.255',
      '100.128.0.0',
      '172.15.255.255',
      '172.32.0.0',
      '198.17.255.255',
      '198.20.0.0',
      '223.255.255.255',
      '168.63.129.15',
    ]) {
      expect([ip, classifyAddress(ip, PUBLIC_ONLY)]).toEqual([ip, PUBLIC]);
    }
  });

  it('refuses a special-purpose IPv4 address in every IPv6 spelling that carries it', () => {
    fc.assert(
      fc.property(specialV4, (ip) => {
        for (const spelling of embeddings(ip)) {
          expect([spelling, classifyAddress(spelling, PUBLIC_ONLY).allowed]).toEqual([spelling, false]);
        }
      }),
    );
  });

  it('takes a public IPv4 address in its mapped and NAT64 spelling for what it is, and refuses the dead spellings', () => {
    expect(embeddings('93.184.216.34').filter((ip) => classifyAddress(ip, PUBLIC_ONLY).allowed)).toEqual([
      '::ffff:93.184.216.34',
      '::ffff:5db8:d822',
      '0:0:0:0:0:FFFF:5db8:d822',
      '64:ff9b::93.184.216.34',
      '64:ff9b::5db8:d822',
    ]);
  });

  it('refuses every IPv6 address outside 2000::/3 that carries no IPv4', () => {
    const outside = fc
      .tuple(group, fc.array(group, { minLength: 7, maxLength: 7 }))
      .filter(([first]) => first >> 13 !== 1 && first > 0x64);
    fc.assert(
      fc.property(
        outside,
        ([first, rest]) => !classifyAddress([first, ...rest].map(hex).join(':'), PUBLIC_ONLY).allowed,
      ),
      { numRuns: 500 },
    );
  });

  it('allows every address in 2000::/3 that is not special-purpose', () => {
    const inside = fc
      .tuple(fc.integer({ min: 0x2000, max: 0x3fff }), group, group, group, group, group, group, group)
      .filter(
        ([a, b, c]) =>
          !(a === 0x2001 && (b < 0x200 || b === 0xdb8)) &&
          a !== 0x2002 &&
          !(a === 0x2620 && b === 0x4f && c === 0x8000) &&
          !(a === 0x3fff && b < 0x1000),
      );
    fc.assert(
      fc.property(inside, (groups) =>
        expect(classifyAddress(groups.map(hex).join(':'), PUBLIC_ONLY)).toEqual(PUBLIC),
      ),
      { numRuns: 500 },
    );
  });

  it.each([
    ['::', 'an unspecified address'],
    ['::1', 'a loopback address'],
    ['::7f00:1', 'a deprecated IPv4-compatible address'],
    ['4000::1', 'a reserved address'],
    ['100::1', 'a discard address'],
    ['100:0:0:1::1', 'a dummy address'],
    ['2001::1', 'a Teredo address'],
    ['2001:2::1', 'a benchmarking address'],
    ['2001:3::1', 'an IETF protocol address'],
    ['2001:10::1', 'an ORCHID address'],
    ['2001:2f::1', 'an ORCHID address'],
    ['2001:30::1', 'an IETF protocol address'],
    ['2001:db8::1', 'a documentation address'],
    ['2002:7f00:1::1', 'a 6to4 address'],
    ['2620:4f:8000::1', 'an AS112 sink address'],
    ['3fff::1', 'a documentation address'],
    ['5f00::1', 'a segment-routing address'],
    ['64:ff9b:1::1', 'a local NAT64 address'],
    ['fc00::1', 'a private address'],
    ['fd12:3456::1', 'a private address'],
    ['fe80::1', 'a link-local address'],
    ['fec0::1', 'a site-local address'],
    ['ff02::1', 'a multicast address'],
    ['192.0.0.9', 'an IETF protocol address'],
    ['198.19.255.255', 'a benchmarking address'],
    ['255.255.255.255', 'a broadcast address'],
    ['254.1.2.3', 'a reserved address'],
    ['0.0.0.0', 'an address of "this network"'],
  ])('calls %s %s', (ip, reason) => {
    expect(classifyAddress(ip, PUBLIC_ONLY)).toEqual({ allowed: false, reason });
  });

  const METADATA = [
    '169.254.169.254',
    '169.254.170.2',
    '169.254.170.23',
    '168.63.129.16',
    '100.100.100.200',
    '192.0.0.192',
    'fd00:ec2::254',
    'fd20:ce::254',
    '::ffff:169.254.169.254',
    '64:ff9b::a9fe:a9fe',
  ];
  it.each(METADATA)('refuses %s as cloud metadata, also inside an allowed network', (ip) => {
    const everything = parseEgressNetworks('0.0.0.0/0,::/0');
    const reason = 'a cloud metadata address';
    expect(classifyAddress(ip, PUBLIC_ONLY)).toEqual({ allowed: false, reason });
    expect(classifyAddress(ip, everything)).toEqual({ allowed: false, reason });
  });

  it('opens a metadata address that the allow list names alone', () => {
    expect(classifyAddress('169.254.169.254', parseEgressNetworks('169.254.169.254/32'))).toEqual(OPENED);
    expect(classifyAddress('fd00:ec2::254', parseEgressNetworks('fd00:ec2::254'))).toEqual(OPENED);
  });

  it('opens an allowed network, without TLS too, and nothing beside it', () => {
    const allow = parseEgressNetworks('127.0.0.0/8,fd00:1::/32');
    expect(classifyAddress('127.9.9.9', allow)).toEqual(OPENED);
    expect(classifyAddress('fd00:1::5', allow)).toEqual(OPENED);
    expect(classifyAddress('10.0.0.1', allow).allowed).toBe(false);
    expect(classifyAddress('fd00:2::5', allow).allowed).toBe(false);
    expect(classifyAddress('93.184.216.34', allow)).toEqual(PUBLIC);
  });

  it('opens the mapped spelling of an allowed IPv4 network, and no other spelling of it', () => {
    const allow = parseEgressNetworks('127.0.0.0/8');
    expect(embeddings('127.0.0.1').filter((ip) => classifyAddress(ip, allow).allowed)).toEqual([
      '::ffff:127.0.0.1',
      '::ffff:7f00:1',
      '0:0:0:0:0:FFFF:7f00:1',
    ]);
  });

  it.each([
    '',
    'localhost',
    '127.1',
    '0x7f.0.0.1',
    '2130706433',
    '010.0.0.1',
    '1.2.3',
    '1.2.3.4.5',
    'fe80::1%eth0',
    '[::1]',
    '1.2.3.4/8',
    '::ffff:1.2.3',
  ])('refuses %j, which is no address in its usual form', (text) => {
    const everything = parseEgressNetworks('0.0.0.0/0,::/0');
    expect(classifyAddress(text, everything)).toEqual({ allowed: false, reason: 'not an IP address' });
  });

  it('never throws and never allows what is not an address', () => {
    fc.assert(
      fc.property(
        fc.string(),
        (text) => /^[\d.]+$|:/.test(text) || !classifyAddress(text, PUBLIC_ONLY).allowed,
      ),
    );
  });
});
