import { describe, expect, it } from '@jest/globals';
import type { OutgoingRequest, TransportResult } from '../transport/types.js';
import { makeReady } from './opened-credentials.js';
import { sendAs } from './send-as.js';
import { TokenSource } from './token-source.js';

const CLIENT = {
  type: 'oauth2',
  tokenUrl: 'https://id.example.com/token',
  clientId: 'posthorn',
  clientSecret: 'client-secret',
  clientAuthentication: 'basic',
} as const;

const answered = (statusCode: number, body: unknown): TransportResult => ({
  ok: true,
  durationMs: 1,
  response: { statusCode, headers: {}, body: JSON.stringify(body), bodyEncoding: 'utf8', truncated: false },
});

/** A token server that numbers its tokens, and answers when it is told to. */
function tokenServer(expiresIn = 100) {
  const asked: OutgoingRequest[] = [];
  const waiting: (() => void)[] = [];
  return {
    asked,
    answer: () => waiting.splice(0).forEach((go) => go()),
    send: (request: OutgoingRequest): Promise<TransportResult> => {
      asked.push(request);
      const result = answered(200, { access_token: `access-token-${asked.length}`, expires_in: expiresIn });
      return new Promise((resolve) => waiting.push(() => resolve(result)));
    },
  };
}

describe('the access token of an endpoint', () => {
  it('is asked for once, however many want it', async () => {
    const server = tokenServer();
    const source = new TokenSource(CLIENT, undefined);
    const wanted = Array.from({ length: 50 }, () => source.get(server, 1000));
    server.answer();
    expect(new Set((await Promise.all(wanted)).map((got) => got.ok && got.token))).toEqual(
      new Set(['access-token-1']),
    );
    expect(await source.get(server, 1000)).toEqual({ ok: true, token: 'access-token-1' });
    expect(server.asked).toHaveLength(1);
  });

  it('is asked for again when its time is over, counted from when it was asked for', async () => {
    let now = 0;
    const server = tokenServer(100);
    const source = new TokenSource(CLIENT, undefined, () => now);
    const get = async () => {
      const got = source.get(server, 1000);
      server.answer();
      return (await got) as unknown;
    };
    const first = source.get(server, 1000);
    now = 50_000;
    server.answer();
    await first;
    now = 89_999;
    expect(await get()).toEqual({ ok: true, token: 'access-token-1' });
    now = 90_000;
    expect(await get()).toEqual({ ok: true, token: 'access-token-2' });
  });

  it('is given up by whoever was refused with it, once for all of them', async () => {
    const server = tokenServer();
    const source = new TokenSource(CLIENT, undefined);
    const get = async () => {
      const got = source.get(server, 1000);
      server.answer();
      return got;
    };
    await get();
    source.drop('access-token-1');
    expect(await get()).toEqual({ ok: true, token: 'access-token-2' });
    source.drop('access-token-1');
    expect(await get()).toEqual({ ok: true, token: 'access-token-2' });
    expect(server.asked).toHaveLength(2);
  });

  it('is waited for by each no longer than its own attempt lasts', async () => {
    const server = tokenServer();
    const source = new TokenSource(CLIENT, undefined);
    const patient = source.get(server, 60_000);
    const late = { ok: false, failure: { code: 'oauth2_token_unavailable', kind: 'transient' } };
    expect(await source.get(server, 5)).toMatchObject(late);
    expect(await source.get(server, 0)).toMatchObject(late);
    server.answer();
    expect(await patient).toEqual({ ok: true, token: 'access-token-1' });
    expect(server.asked).toHaveLength(1);
  });

  it('that could not be had is asked for again by the next', async () => {
    let sent = 0;
    const source = new TokenSource(CLIENT, undefined);
    const send = () => {
      sent += 1;
      if (sent === 1) return Promise.reject(new Error('ours'));
      return Promise.resolve(answered(sent === 2 ? 500 : 200, { access_token: 'good' }));
    };
    await expect(source.get({ send }, 1000)).rejects.toThrow('ours');
    expect(await source.get({ send }, 1000)).toMatchObject({ ok: false });
    expect(await source.get({ send }, 1000)).toEqual({ ok: true, token: 'good' });
  });
});

describe('a request with an access token', () => {
  const request: OutgoingRequest = {
    method: 'POST',
    url: 'https://receiver.example/',
    headers: { 'webhook-id': 'evt_1' },
    body: '{}',
    timeoutMs: 1000,
  };

  /** A receiver with these answers, behind a token server. */
  function world(statuses: number[], tokens: number[] = []) {
    const seen: (string | undefined)[] = [];
    let issued = 0;
    const send = (sent: OutgoingRequest): Promise<TransportResult> => {
      if (sent.url === CLIENT.tokenUrl) {
        issued += 1;
        return Promise.resolve(
          answered(tokens[issued - 1] ?? 200, { access_token: `access-token-${issued}` }),
        );
      }
      seen.push(sent.headers.authorization);
      return Promise.resolve(answered(statuses[seen.length - 1] ?? 200, { saw: sent.headers.authorization }));
    };
    return { seen, send, ready: makeReady({ auth: CLIENT, ca: null }, 'a') };
  }

  it('is sent again once with a new one after a 401, and no oftener', async () => {
    const { seen, send, ready } = world([401, 401]);
    expect(await sendAs({ send }, ready, request)).toMatchObject({ ok: true, response: { statusCode: 401 } });
    expect(seen).toEqual(['Bearer access-token-1', 'Bearer access-token-2']);
  });

  it('is not sent again after any other answer', async () => {
    const { seen, send, ready } = world([403]);
    expect(await sendAs({ send }, ready, request)).toMatchObject({ response: { statusCode: 403 } });
    expect(seen).toHaveLength(1);
  });

  it('fails with the token server, and keeps the 401 where there is no second token', async () => {
    const { seen, send, ready } = world([401], [200, 400]);
    expect(await sendAs({ send }, ready, request)).toMatchObject({
      ok: false,
      failure: { code: 'oauth2_token_refused', kind: 'permanent', response: { statusCode: 401 } },
    });
    expect(seen).toHaveLength(1);
  });

  it('brings no token back where the receiver repeats it', async () => {
    const { send, ready } = world([401]);
    expect(JSON.stringify(await sendAs({ send }, ready, request))).not.toMatch(/access-token/);
  });
});
