import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { decodeProtectedHeader, type FlattenedJWSInput } from 'jose';
import { Issuer } from '../../test/support/issuer.js';
import { until } from '../../test/support/until.js';
import { IssuerKeys } from './issuer-keys.js';

const MINUTE = 60_000;

describe('the keys of an issuer', () => {
  let issuer: Issuer;
  let keys: IssuerKeys;
  let nowMs: number;
  let failures: unknown[];

  /** `found`, or the code of what it was refused with. */
  const find = async (token?: string): Promise<string> => {
    const text = token ?? (await issuer.sign({ sub: 'ann' }));
    const [, payload = '', signature = ''] = text.split('.');
    const jws: FlattenedJWSInput = { payload, signature };
    try {
      await keys.find({ alg: 'ES256', ...decodeProtectedHeader(text) }, jws);
      return 'found';
    } catch (error) {
      return String((error as { code?: unknown }).code);
    }
  };
  const unknownKey = async () => {
    const other = { ...issuer.newest, kid: crypto.randomUUID() };
    return issuer.sign({ sub: 'ann' }, other);
  };

  beforeEach(async () => {
    issuer = await Issuer.start();
    nowMs = 1_000_000;
    failures = [];
    keys = new IssuerKeys(
      issuer.url,
      () => nowMs,
      (error) => failures.push(error),
    );
  });
  afterEach(() => issuer.stop());

  it('are asked for once, however many come at once', async () => {
    const token = await issuer.sign({ sub: 'ann' });
    expect(await Promise.all(Array.from({ length: 20 }, () => find(token)))).toEqual(
      Array.from({ length: 20 }, () => 'found'),
    );
    expect(issuer.requests).toEqual(['/.well-known/openid-configuration', '/keys']);
  });

  it('are asked for anew every ten minutes, beside the request that meets them', async () => {
    const token = await issuer.sign({ sub: 'ann' });
    await find(token);
    nowMs += 10 * MINUTE - 1;
    await find(token);
    expect(issuer.keyRequests).toBe(1);
    nowMs += 1;
    issuer.answer = 'never';
    expect(await find(token)).toBe('found');
    await until(
      () => issuer.requests.length,
      (count) => count === 3,
    );
  });

  it('that are new are found at once, and those that were withdrawn no more', async () => {
    const old = await issuer.sign({ sub: 'ann' });
    await find(old);
    nowMs += MINUTE;
    await issuer.rotate({ keep: true });
    expect([await find(), await find(old)]).toEqual(['found', 'found']);
    nowMs += MINUTE;
    await issuer.rotate();
    expect([await find(), await find(old)]).toEqual(['found', 'ERR_JWKS_NO_MATCHING_KEY']);
  });

  it('that tokens make up are looked for once in half a minute', async () => {
    await find();
    for (let count = 0; count < 50; count += 1)
      expect(await find(await unknownKey())).toBe('ERR_JWKS_NO_MATCHING_KEY');
    expect(issuer.keyRequests).toBe(1);
    nowMs += MINUTE / 2;
    const tokens = await Promise.all(Array.from({ length: 50 }, unknownKey));
    expect(new Set(await Promise.all(tokens.map((token) => find(token))))).toEqual(
      new Set(['ERR_JWKS_NO_MATCHING_KEY']),
    );
    expect(issuer.keyRequests).toBe(2);
  });

  it('that are known go on while the issuer is away, for a day', async () => {
    const token = await issuer.sign({ sub: 'ann' });
    await find(token);
    await issuer.stop();
    nowMs += 24 * 60 * MINUTE - 1;
    expect(await find(token)).toBe('found');
    await until(
      () => failures.length,
      (count) => count === 1,
    );
    expect(await find(await unknownKey())).toBe('identity_provider_unavailable');
    nowMs += 1;
    expect(await find(token)).toBe('identity_provider_unavailable');
  });

  it('are not asked for within ten seconds of a failure, and found once the issuer is back', async () => {
    const token = await issuer.sign({ sub: 'ann' });
    issuer.answer = 'with an error';
    for (let count = 0; count < 20; count += 1)
      expect(await find(token)).toBe('identity_provider_unavailable');
    expect(issuer.requests).toHaveLength(1);
    expect(failures).toHaveLength(1);
    issuer.answer = 'well';
    nowMs += 10_000 - 1;
    expect(await find(token)).toBe('identity_provider_unavailable');
    nowMs += 1;
    expect(await find(token)).toBe('found');
  });

  it('are not believed of an issuer that calls itself otherwise', async () => {
    issuer.alias = 'https://login.example.com';
    expect(await find()).toBe('identity_provider_unavailable');
    expect(issuer.keyRequests).toBe(0);
    expect(String(failures[0])).toContain('calls itself "https://login.example.com"');
  });

  it.each(['http://login.example.com/keys', 'file:///etc/passwd', 'data:application/json,{}', undefined])(
    'are not fetched from %s',
    async (uri) => {
      issuer.keysAt = uri ?? 'nowhere';
      expect(await find()).toBe('identity_provider_unavailable');
      expect(issuer.keyRequests).toBe(0);
    },
  );

  it('are not fetched from where a redirect leads', async () => {
    issuer.answer = 'elsewhere';
    expect(await find()).toBe('identity_provider_unavailable');
    expect(issuer.requests).toEqual(['/.well-known/openid-configuration']);
  });
});
