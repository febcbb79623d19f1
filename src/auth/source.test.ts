import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { sourceOf } from './source.js';

describe('the source of an address', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::1', '2001:db8:1:2::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['', ''],
    [undefined, ''],
    ['not:an:address', 'not:an:address'],
  ])('of %j is %j', (address, source) => {
    expect(sourceOf(address)).toBe(source);
  });

  it('is the same within a /64 of IPv6, and another beyond it', () => {
    const part = fc.integer({ min: 0, max: 0xffff });
    const four = fc.tuple(part, part, part, part);
    const text = (parts: number[]) => parts.map((each) => each.toString(16)).join(':');
    fc.assert(
      fc.property(four, four, four, four, (network, other, host, otherHost) => {
        fc.pre(network.some((each) => each !== 0) && other.some((each) => each !== 0));
        const [one, two] = [
          sourceOf(text([...network, ...host])),
          sourceOf(text([...network, ...otherHost])),
        ];
        expect(one).toBe(two);
        const same = text(network) === text(other);
        expect(sourceOf(text([...other, ...host])) === one).toBe(same);
      }),
    );
  });
});
