import { describe, expect, it } from '@jest/globals';
import { networksIn, parseEgressNetworks, PUBLIC_ONLY } from './egress-networks.js';

describe('parseEgressNetworks', () => {
  it('reads networks and single addresses of both families', () => {
    const { v4, v6, empty } = parseEgressNetworks(' 127.0.0.0/8, ::1/128 ,10.1.2.3,');
    expect(v4.map(([address, bits]) => `${address.toString()}/${bits}`)).toEqual([
      '127.0.0.0/8',
      '10.1.2.3/32',
    ]);
    expect(v6.map(([address, bits]) => `${address.toString()}/${bits}`)).toEqual(['::1/128']);
    expect(empty).toBe(false);
  });

  it.each(['', '  ', ','])('opens nothing for %j', (list) => {
    expect(parseEgressNetworks(list)).toEqual(PUBLIC_ONLY);
  });

  it.each([
    ['localhost', /cannot be read/],
    ['10.1/16', /cannot be read/],
    ['010.0.0.0/8', /cannot be read/],
    ['10.0.0.0/33', /from 0 to 32/],
    ['fd00::/129', /from 0 to 128/],
    ['10.0.0.0/', /from 0 to 32/],
    ['10.0.0.0/8/8', /cannot be read/],
    ['10.0.0.5/8', /did you mean 10\.0\.0\.0\/8/],
    ['fe80::1%eth0/64', /cannot be read/],
  ])('refuses %s and says which entry it is', (entry, why) => {
    expect(() => parseEgressNetworks(`127.0.0.0/8,${entry}`)).toThrow(why);
    expect(() => parseEgressNetworks(`127.0.0.0/8,${entry}`)).toThrow(`"${entry}"`);
  });
});

describe('networksIn', () => {
  it('spells each network once, as a CIDR block', () => {
    expect(networksIn('2001:DB8:0:0::/32, 198.51.100.7,203.0.113.0/24')).toEqual([
      '198.51.100.7/32',
      '203.0.113.0/24',
      '2001:db8::/32',
    ]);
    expect(networksIn('')).toEqual([]);
  });
});
