import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { PortalTokenMade } from '../../src/portal-tokens/portal-tokens.schema.js';
import { signPortalToken } from '../../src/portal-tokens/portal-jwt.js';
import { KeyRing } from '../../src/secrets/key-ring.js';
import { System } from '../support/system.js';
import { until } from '../support/until.js';

const PER_ADDRESS = 10;
const PER_PREFIX = 6;

interface Answer {
  status: number;
  code: string | undefined;
  retryAfter: number;
}

describe('guessing at credentials', () => {
  let system: System;
  let base: string;
  let addresses = 1;

  /** One of loopback that nobody has sent from. */
  const address = () => {
    addresses += 1;
    return `127.0.${addresses >> 8}.${addresses & 255}`;
  };
  const random = () => randomBytes(32).toString('base64url');
  /** To one process, since each counts for itself. */
  const send = (
    from: string,
    path: string,
    headers: Record<string, string>,
    body?: unknown,
  ): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const sent = request(
        `${base}/v1${path}`,
        {
          localAddress: from,
          agent: false,
          method: body === undefined ? 'GET' : 'POST',
          headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
          response.on('end', () => {
            resolve({
              status: response.statusCode ?? 0,
              code: (JSON.parse(text) as { code?: string }).code,
              retryAfter: Number(response.headers['retry-after'] ?? 0),
            });
          });
        },
      );
      sent.on('error', reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  const ask = (from: string, token: string) => send(from, '/accounts', { authorization: `Bearer ${token}` });
  const statuses = async (times: number, each: () => Promise<Answer>) => {
    const seen: number[] = [];
    for (let count = 0; count < times; count += 1) seen.push((await each()).status);
    return seen;
  };
  const key = async (body: Record<string, unknown> = {}) =>
    system.ok<{ id: string; secret: string }>('POST', '/keys', { name: 'test', ...body });
  const times = (count: number, status: number) => Array.from({ length: count }, () => status);

  beforeAll(async () => {
    system = await System.start({
      env: {
        POSTHORN_GUESSES_PER_ADDRESS: String(PER_ADDRESS),
        POSTHORN_GUESSES_PER_PREFIX: String(PER_PREFIX),
      },
    });
    base = system.processes[0] ?? '';
  });
  afterAll(() => system.stop());

  it('is answered 429 with Retry-After once an address has had its share, whatever it guesses at', async () => {
    const from = address();
    const guesses = [() => `phk_${random()}`, () => 'x', () => `ptc_${random()}`, () => 'a.b.c'];
    const guess = (count: number) => ask(from, guesses[count % guesses.length]?.() ?? '');
    const answers: Answer[] = [];
    for (let count = 0; count < PER_ADDRESS + 5; count += 1) answers.push(await guess(count));
    expect(answers.slice(0, PER_ADDRESS).map(({ status }) => status)).toEqual(times(PER_ADDRESS, 401));
    for (const { status, code, retryAfter } of answers.slice(PER_ADDRESS)) {
      expect([status, code]).toEqual([429, 'too_many_failed_attempts']);
      expect(retryAfter).toBeGreaterThan(0);
      expect(retryAfter).toBeLessThanOrEqual(60 / PER_ADDRESS);
    }
  });

  it('goes on after as long as was said', async () => {
    const from = address();
    await statuses(PER_ADDRESS, () => ask(from, 'x'));
    expect((await ask(from, 'x')).status).toBe(429);
    const told = await until(
      () => ask(from, 'x'),
      ({ status }) => status !== 429,
      (60_000 / PER_ADDRESS) * 3,
      500,
    );
    expect(told.status).toBe(401);
  });

  it('is not answered from the database any more, so that a good key is refused unseen', async () => {
    const from = address();
    const { secret } = await key();
    await statuses(PER_ADDRESS, () => ask(from, 'x'));
    expect((await ask(from, secret)).status).toBe(429);
    expect((await ask(address(), secret)).status).toBe(200);
  });

  it('all at once tells no more than one after another', async () => {
    const from = address();
    const answers = await Promise.all(Array.from({ length: 60 }, () => ask(from, `phk_${random()}`)));
    const told = answers.filter(({ status }) => status === 401);
    expect(told.length).toBeLessThanOrEqual(PER_ADDRESS + 1);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(60 - told.length);
  });

  it('without any credential is no guess', async () => {
    const from = address();
    expect(await statuses(PER_ADDRESS * 2, () => send(from, '/accounts', {}))).toEqual(
      times(PER_ADDRESS * 2, 401),
    );
    expect((await ask(from, system.rootKey)).status).toBe(200);
  });

  it('does not lock out a key that was good from the same address', async () => {
    const from = address();
    const { id, secret } = await key();
    expect((await ask(from, secret)).status).toBe(200);
    await statuses(PER_ADDRESS + 5, () => ask(from, `phk_${random()}`));
    expect((await ask(from, `phk_${random()}`)).status).toBe(429);
    expect(await statuses(5, () => ask(from, secret))).toEqual(times(5, 200));
    await system.ok('DELETE', `/keys/${id}`);
    expect(await statuses(2, () => ask(from, secret))).toEqual([401, 429]);
  });

  it('at one key by many addresses slows those that failed, and never its holder', async () => {
    const { secret } = await key();
    const prefix = secret.slice(0, 8);
    const near = () => prefix + random().slice(0, secret.length - prefix.length);
    const guessers = Array.from({ length: PER_PREFIX * 2 }, address);
    for (const from of guessers) expect((await ask(from, near())).status).toBe(401);
    for (const from of guessers) expect((await ask(from, near())).status).toBe(429);
    expect((await ask(guessers[0] ?? '', `phk_${random()}`)).status).toBe(401);
    expect((await ask(address(), secret)).status).toBe(200);
  });

  it('is not forgiven by a good key in between', async () => {
    const from = address();
    await statuses(PER_ADDRESS - 1, () => ask(from, 'x'));
    expect((await ask(from, system.rootKey)).status).toBe(200);
    expect(await statuses(3, () => ask(from, 'x'))).toEqual([401, 429, 429]);
  });

  it('at portal codes is slowed alike', async () => {
    const from = address();
    const exchange = (code: string, by = from) => send(by, '/portal/exchange', {}, { code });
    expect(await statuses(PER_ADDRESS, () => exchange(`ptc_${random()}`))).toEqual(times(PER_ADDRESS, 400));
    const account = await system.account();
    const { code } = await system.ok<PortalTokenMade>('POST', `${account.path}/portal-tokens`, {});
    expect((await exchange(code)).code).toBe('too_many_failed_attempts');
    // It was not used up.
    expect((await exchange(code, address())).status).toBe(200);
  });

  it('is not what somebody does whose token has expired', async () => {
    const from = address();
    const expired = await signPortalToken(
      new KeyRing(system.encryptionKeys),
      { id: 'ptk_x', accountId: 'acc_x' },
      { scopes: [], issuedAt: new Date(Date.now() - 60_000), expiresAt: new Date(Date.now() - 1000) },
    );
    expect(await statuses(PER_ADDRESS * 2, () => ask(from, expired))).toEqual(times(PER_ADDRESS * 2, 401));
    expect((await ask(from, system.rootKey)).status).toBe(200);
  });
});
