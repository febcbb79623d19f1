import { describe, expect, it } from '@jest/globals';
import { parseEgressNetworks, PUBLIC_ONLY } from './egress-networks.js';
import { resolveName, systemLookup } from './resolve.js';

const answering =
  (...addresses: string[]) =>
  () =>
    Promise.resolve(addresses);
const failing = (code: string) => () => Promise.reject(Object.assign(new Error(`query ${code}`), { code }));
const LOOPBACK = parseEgressNetworks('127.0.0.0/8,::1/128');

describe('resolveName', () => {
  it('returns every answer when all are public', async () => {
    const lookup = answering('93.184.216.34', '2606:2800::1');
    expect(await resolveName('a.example', false, PUBLIC_ONLY, lookup)).toEqual({
      ok: true,
      addresses: ['93.184.216.34', '2606:2800::1'],
    });
  });

  it.each([
    [['10.1.2.3'], 'a private address'],
    [['93.184.216.34', '10.1.2.3'], 'a private address'],
    [['10.1.2.3', '93.184.216.34'], 'a private address'],
    [['93.184.216.34', '::1'], 'a loopback address'],
    [['93.184.216.34', '::ffff:169.254.169.254'], 'a cloud metadata address'],
    [['93.184.216.34', 'nonsense'], 'not an IP address'],
  ])('refuses the name for %j, telling the class and not the address', async (addresses, reason) => {
    expect(await resolveName('a.example', false, PUBLIC_ONLY, answering(...addresses))).toEqual({
      ok: false,
      code: 'address_refused',
      detail: `The host name leads to ${reason}.`,
    });
  });

  it('holds http: and local names to allowed networks, each answer of them', async () => {
    const inside = await resolveName('localhost', true, LOOPBACK, answering('127.0.0.1', '::1'));
    expect(inside).toMatchObject({ ok: true });
    const partly = await resolveName('localhost', true, LOOPBACK, answering('127.0.0.1', '93.184.216.34'));
    expect(partly).toMatchObject({ ok: false, code: 'address_refused' });
  });

  it.each([
    ['ENOTFOUND', 'dns_not_found'],
    ['ENODATA', 'dns_not_found'],
    ['ESERVFAIL', 'dns_failed'],
    ['ETIMEOUT', 'dns_failed'],
    ['EREFUSED', 'dns_failed'],
  ])('calls %s %s', async (code, expected) => {
    expect(await resolveName('a.example', false, PUBLIC_ONLY, failing(code))).toMatchObject({
      code: expected,
    });
  });

  it('keeps sixteen addresses of a long answer, the same ones however it is rotated, and checks all of it', async () => {
    const many = Array.from({ length: 4000 }, (_, index) => `8.8.${index >> 8}.${index & 255}`);
    const first = await resolveName('a.example', false, PUBLIC_ONLY, answering(...many));
    const rotated = answering(...many.slice(1234), ...many.slice(0, 1234));
    expect(await resolveName('a.example', false, PUBLIC_ONLY, rotated)).toEqual(first);
    expect(first.ok && first.addresses.length).toBe(16);
    const last = answering(...many, '10.0.0.1');
    expect(await resolveName('a.example', false, PUBLIC_ONLY, last)).toMatchObject({
      code: 'address_refused',
    });
  });

  it('takes an empty answer for a name that does not exist', async () => {
    expect(await resolveName('a.example', false, PUBLIC_ONLY, answering())).toMatchObject({
      code: 'dns_not_found',
    });
  });
});

describe('systemLookup', () => {
  it('knows localhost without asking anybody', async () => {
    expect(await systemLookup(PUBLIC_ONLY)('localhost')).toEqual(['127.0.0.1', '::1']);
    expect(await systemLookup(PUBLIC_ONLY)('app.localhost')).toEqual(['127.0.0.1', '::1']);
  });
});
