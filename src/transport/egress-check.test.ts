import { describe, expect, it } from '@jest/globals';
import { checkDestination } from './egress-check.js';
import { parseEgressNetworks, PUBLIC_ONLY } from './egress-networks.js';

const answering =
  (...addresses: string[]) =>
  () =>
    Promise.resolve(addresses);

describe('checkDestination', () => {
  it('returns the URL as it will be requested', async () => {
    const checked = await checkDestination(
      'https://EXAMPLE.com.:443/in',
      PUBLIC_ONLY,
      answering('93.184.216.34'),
    );
    expect(checked).toEqual({ ok: true, url: 'https://example.com/in' });
  });

  it('refuses what the URL alone gives away, without asking DNS', async () => {
    const asked = () => Promise.reject(new Error('asked'));
    expect(await checkDestination('http://example.com/', PUBLIC_ONLY, asked)).toMatchObject({
      code: 'url_scheme_refused',
    });
    expect(await checkDestination('https://10.0.0.1/', PUBLIC_ONLY, asked)).toMatchObject({
      code: 'address_refused',
    });
  });

  it('refuses a name with a private answer', async () => {
    const checked = await checkDestination(
      'https://example.com/',
      PUBLIC_ONLY,
      answering('93.184.216.34', '10.0.0.1'),
    );
    expect(checked).toMatchObject({ ok: false, code: 'address_refused' });
  });

  it.each(['ENOTFOUND', 'ESERVFAIL', 'ETIMEOUT'])('takes a name whose lookup fails with %s', async (code) => {
    const failing = () => Promise.reject(Object.assign(new Error(code), { code }));
    const checked = await checkDestination('https://not-yet.example.com/', PUBLIC_ONLY, failing);
    expect(checked).toEqual({ ok: true, url: 'https://not-yet.example.com/' });
  });

  it('takes http: for a name that leads into an allowed network, and not for one that leads out', async () => {
    const allow = parseEgressNetworks('127.0.0.0/8,::1/128');
    expect(await checkDestination('http://localhost:3000/', allow)).toMatchObject({ ok: true });
    const out = await checkDestination('http://example.com/', allow, answering('93.184.216.34'));
    expect(out).toMatchObject({ ok: false, code: 'address_refused' });
  });

  it('takes names as they are where the egress proxy resolves them, but for those that must lead into opened networks', async () => {
    expect(await checkDestination('https://no-such-name.invalid/', PUBLIC_ONLY, null)).toMatchObject({
      ok: true,
    });
    expect(await checkDestination('https://10.0.0.1/', PUBLIC_ONLY, null)).toMatchObject({
      code: 'address_refused',
    });
    const elsewhere = parseEgressNetworks('10.0.0.0/8');
    expect(await checkDestination('http://localhost/', elsewhere, null)).toMatchObject({
      code: 'address_refused',
    });
  });
});
