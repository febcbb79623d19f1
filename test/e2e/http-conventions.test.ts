import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  callOperation,
  type Ids,
  NAMED,
  oneOfEach,
  type Operation,
  operationsOf,
  pathOf,
  readDocument,
} from '../support/api-walk.js';
import { System } from '../support/system.js';

interface ProblemBody {
  code: string;
  detail: string;
  errors?: { pointer: string; detail: string }[];
}

describe('the API', () => {
  let system: System;
  let operations: Operation[];
  let ids: Ids;

  const send = async (
    path: string,
    init: Omit<RequestInit, 'headers'> & { headers?: Record<string, string> } = {},
  ): Promise<{ status: number; headers: Headers; body: ProblemBody; text: string }> => {
    const response = await fetch(`${system.url}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${system.rootKey}`, ...init.headers },
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: JSON.parse(text || '{}') as ProblemBody,
    };
  };
  const post = (path: string, body: string | Uint8Array, type: string | null = 'application/json') =>
    send(path, {
      method: 'POST',
      body: typeof body === 'string' ? Buffer.from(body) : Buffer.from(body),
      headers: type === null ? {} : { 'content-type': type },
    });
  /** Speaks to the port itself. Resolves with all that came until the server closed. */
  const speak = async (request: string): Promise<string> => {
    const socket = connect(Number(new URL(system.url).port), '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
    socket.write(request);
    await once(socket, 'close');
    return answer;
  };

  beforeAll(async () => {
    system = await System.start();
    operations = operationsOf(await readDocument(system));
    ({ ids } = await oneOfEach(system));
  });
  afterAll(() => system.stop());

  it('answers problems as RFC 9457 has them, with a request id that the header repeats', async () => {
    const { status, headers, body } = await send('/v1/nowhere');
    expect(status).toBe(404);
    expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(body).toEqual({
      type: 'about:blank',
      title: 'Not found',
      status: 404,
      code: 'not_found',
      detail: 'There is no such path.',
      requestId: headers.get('x-request-id'),
    });
    const other = await send('/v1/nowhere');
    expect(other.headers.get('x-request-id')).not.toBe(headers.get('x-request-id'));
  });

  it('gives its good answers a request id as well', async () => {
    expect((await send('/v1/accounts')).headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  it.each([
    '/',
    '/v1',
    '/v1/',
    '/v2/accounts',
    '/v1/accounts/',
    '/v1/accounts//endpoints',
    '/docs/../../etc/passwd',
    '/docs/package.json',
  ])('answers 404 for %s', async (path) => {
    const { status, body } = await send(path);
    expect([status, body.code]).toEqual([404, 'not_found']);
  });

  it('answers 405 with Allow for a method that a path does not take', async () => {
    const wrong: string[] = [];
    const paths = new Map<string, Set<string>>();
    for (const { template, method } of operations) {
      paths.set(template, (paths.get(template) ?? new Set()).add(method));
    }
    for (const [template, methods] of paths) {
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
        if (methods.has(method)) continue;
        const { status, headers, body } = await send(pathOf(template, ids), { method });
        const allow = headers.get('allow')?.split(', ') ?? [];
        if (
          status !== 405 ||
          body.code !== 'method_not_allowed' ||
          [...methods].some((each) => !allow.includes(each))
        ) {
          wrong.push(`${method} ${template}: ${status} allow ${allow.join()}`);
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(paths.size).toBeGreaterThan(12);
  });

  it('answers HEAD like GET, without the body', async () => {
    const { status, headers, text } = await send('/v1/accounts', { method: 'HEAD' });
    expect([status, text]).toEqual([200, '']);
    expect(headers.get('content-type')).toMatch(/^application\/json/);
    expect((await send('/v1/accounts', { method: 'HEAD', headers: { authorization: '' } })).status).toBe(401);
  });

  it.each([
    ['nothing after the colon', '{"name":'],
    ['a trailing comma', '{"name":"x",}'],
    ['two values', '{"name":"x"} {}'],
    ['single quotes', "{'name':'x'}"],
    ['a comment', '{"name":"x"/**/}'],
    ['a bare control character', '{"name":"a\nb"}'],
    ['NaN', '{"name":NaN}'],
    ['blanks alone', '   '],
    ['a NUL alone', '\u0000'],
  ])('answers 400 for a body with %s', async (_, body) => {
    const answer = await post('/v1/accounts', body);
    expect([answer.status, answer.body.code]).toEqual([400, 'malformed_json']);
  });

  it.each([
    ['a byte that never occurs', [0xff]],
    ['an overlong form', [0xc0, 0xaf]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['a character cut short', [0xe2, 0x82]],
  ])('answers 400 for a body with invalid UTF-8: %s', async (_, bytes) => {
    const answer = await post(
      '/v1/accounts',
      Buffer.concat([Buffer.from('{"name":"'), Buffer.from(bytes), Buffer.from('"}')]),
    );
    expect([answer.status, answer.body.code]).toEqual([400, 'malformed_json']);
  });

  it('takes a body with a byte order mark', async () => {
    expect((await post('/v1/accounts', '\ufeff{"name":"marked"}')).status).toBe(201);
  });

  it.each([
    ['text/plain'],
    ['application/x-www-form-urlencoded'],
    ['multipart/form-data; boundary=x'],
    ['application/jsonp'],
    ['application/problem+json'],
    ['garbage'],
    [null],
  ])('answers 415 for a body of type %s', async (type) => {
    const answer = await post('/v1/accounts', '{"name":"x"}', type);
    expect([answer.status, answer.body.code]).toEqual([415, 'unsupported_media_type']);
  });

  it.each(['application/json; charset=utf-8', 'Application/JSON'])(
    'takes a body of type %s',
    async (type) => {
      expect((await post('/v1/accounts', '{"name":"x"}', type)).status).toBe(201);
    },
  );

  it.each(['[]', '"text"', '5', 'null', 'true'])('answers 422 for the body %s', async (body) => {
    const answer = await post('/v1/accounts', body);
    expect([answer.status, answer.body.errors?.[0]?.pointer]).toEqual([422, '']);
  });

  it('takes no body for an empty one', async () => {
    const refused = await send('/v1/accounts', { method: 'POST' });
    expect([refused.status, refused.body.errors?.[0]?.pointer]).toEqual([422, '/name']);
    const rotated = await send(`/v1/accounts/${ids.account}/endpoints/${ids.endpoint}/secret/rotate`, {
      method: 'POST',
    });
    expect(rotated.status).toBe(200);
  });

  it('points at every bad field with RFC 6901, also deep in a list', async () => {
    const events = [{ type: 'ok', data: 1 }, { type: 'ok', data: 1, tags: ['a', 7], extra: { a: 1 } }, {}];
    const { status, body } = await post(
      `/v1/accounts/${ids.account}/events/batch`,
      JSON.stringify({ events, 'a/b~': 1 }),
    );
    expect(status).toBe(422);
    expect(body.errors?.map(({ pointer }) => pointer).sort()).toEqual(
      ['/a~1b~0', '/events/1/extra', '/events/1/tags/1', '/events/2/data', '/events/2/type'].sort(),
    );
    expect(body.detail).toContain(body.errors?.[0]?.pointer);
  });

  it('refuses __proto__ and constructor like any unknown field, and is not changed by them', async () => {
    for (const key of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']) {
      const { status, body } = await post(
        '/v1/accounts',
        `{"name":"x","${key}":{"plan":"gold","polluted":true}}`,
      );
      expect([key, status, body.errors]).toEqual([
        key,
        422,
        [{ pointer: `/${key}`, detail: 'there is no such field' }],
      ]);
    }
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    expect((await post('/v1/accounts', '{"name":"clean"}')).text).toContain('"plan":null');
  });

  it('answers 404 for an id of the wrong kind or none at all, wherever an id stands', async () => {
    const wrong: string[] = [];
    let asked = 0;
    for (const operation of operations) {
      const { template, method } = operation;
      for (const [, name = ''] of template.matchAll(/\{(\w+)\}/g)) {
        // No ids: a name that is not there yet may be.
        if (NAMED.has(name)) continue;
        const right = ids[name as keyof Ids];
        const bad = [
          ...Object.values(ids).filter((id) => id !== right),
          right.toUpperCase(),
          `${right}0`,
          right.slice(0, -1),
          right.replace(/_./, '_8'),
          `${right.slice(0, right.indexOf('_'))}_`,
          right.replaceAll(/[0-9a-z]{26}/g, '00000000000000000000000000'),
          '%00',
          '%F0%9F%98%80',
          '..%2F..%2Fetc',
          "';DROP TABLE accounts;--",
          'null',
          '-1',
          'a'.repeat(300),
          'a'.repeat(8000),
        ];
        // A name may have nothing in it that is replaced.
        for (const id of bad.filter((each) => each !== right)) {
          const path = pathOf(template, { ...ids, [name]: id });
          const { status, code } = await callOperation(system, operation, path, {
            authorization: `Bearer ${system.rootKey}`,
          });
          asked += 1;
          if (status !== 404 || code !== 'not_found') {
            wrong.push(`${method} ${template} with ${name}=${id.slice(0, 40)}: ${status}`);
          }
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(asked).toBeGreaterThan(300);
  });

  it.each(['/v1/accounts/%zz', '/v1/accounts/%ff', '/v1/%'])(
    'answers 400 for the undecodable path %s',
    async (path) => {
      const { status, headers, body } = await send(path);
      expect([status, body.code]).toEqual([400, 'bad_request']);
      expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
    },
  );

  it.each([
    ['no HTTP', 'GARBAGE\r\n\r\n', 400, 'bad_request'],
    [
      'two lengths',
      'POST /v1/accounts HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc',
      400,
      'bad_request',
    ],
    [
      'a length beside chunks',
      'POST /v1/accounts HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'bad_request',
    ],
    [
      'a header of 20 KiB',
      `GET /healthz HTTP/1.1\r\nhost: a\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
    [
      'a path of 20 KiB',
      `GET /v1/${'a'.repeat(20_000)} HTTP/1.1\r\nhost: a\r\n\r\n`,
      431,
      'headers_too_large',
    ],
  ])('answers a problem to %s', async (_, request, status, code) => {
    const answer = await speak(request);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(answer).toContain('Content-Type: application/problem+json');
    expect(answer).toContain(`"code":"${code}"`);
  });

  it('outlives callers that leave in the middle of a body', async () => {
    for (let count = 0; count < 20; count += 1) {
      const socket = connect(Number(new URL(system.url).port), '127.0.0.1');
      await once(socket, 'connect');
      socket.write(
        `POST /v1/accounts HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${system.rootKey}\r\n` +
          'content-type: application/json\r\ncontent-length: 300\r\n\r\n{"name":"cut',
      );
      socket.destroy();
      await once(socket, 'close');
    }
    expect((await send('/v1/accounts')).text).not.toContain('"cut');
    expect((await post('/v1/accounts', '{"name":"whole"}')).status).toBe(201);
  });

  it('takes a hundred thousand levels of nesting as data, and refuses them as anything else', async () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const objects = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
    const published = await post(`/v1/accounts/${ids.account}/events`, `{"type":"deep","data":${deep}}`);
    expect(published.status).toBe(202);
    const batch = `{"events":[{"type":"deep","data":${objects}},{"type":"deep","data":1}]}`;
    expect((await post(`/v1/accounts/${ids.account}/events/batch`, batch)).status).toBe(202);
    expect((await post('/v1/accounts', `{"name":${deep}}`)).status).toBe(422);
    expect((await post('/v1/accounts', `{"name":"x","metadata":${objects}}`)).status).toBe(422);
    expect((await post('/v1/accounts', deep)).status).toBe(422);
    expect((await post('/v1/accounts', `{"name":"x","metadata":${deep.slice(0, -1)}}`)).status).toBe(400);
    const { id } = JSON.parse(published.text) as { id: string };
    const response = await fetch(`${system.url}/v1/accounts/${ids.account}/events/${id}`, {
      headers: { authorization: `Bearer ${system.rootKey}` },
    });
    expect((await response.text()).endsWith(`"data":${deep}}`)).toBe(true);
  });

  it('keeps NUL and lone surrogates in data as they were written', async () => {
    const data = '{"nul":"\\u0000","lone":"\\ud800","\\u0000":"\\udc00"}';
    const { status, text } = await post(
      `/v1/accounts/${ids.account}/events`,
      `{"type":"odd","data":${data}}`,
    );
    expect(status).toBe(202);
    const { id } = JSON.parse(text) as { id: string };
    expect((await send(`/v1/accounts/${ids.account}/events/${id}`)).text).toContain(`"data":${data}`);
  });

  it.each(['0000-01-01T00:00:00+23:59', '0000-12-31T23:59:59Z', '9999-12-31T23:59:59-23:59'])(
    'refuses the time %s, which is of no year from 1 to 9999 in UTC',
    async (timestamp) => {
      const { status, body } = await post(
        `/v1/accounts/${ids.account}/events`,
        JSON.stringify({ type: 'a', data: 1, timestamp }),
      );
      expect([status, body.errors?.[0]?.pointer]).toEqual([422, '/timestamp']);
    },
  );

  it.each([
    ['2026-01-02T03:04:05Z', '2026-01-02T03:04:05.000Z'],
    ['2026-01-02T03:04:05.6789+02:00', '2026-01-02T01:04:05.678Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
    ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'],
  ])('shows the time %s as %s, wherever it is read', async (timestamp, shown) => {
    const body = JSON.stringify({ type: 'a', data: 1, timestamp });
    const published = JSON.parse((await post(`/v1/accounts/${ids.account}/events`, body)).text) as Record<
      string,
      string
    >;
    expect(published.timestamp).toBe(shown);
    const path = `/accounts/${ids.account}/events/${published.id}`;
    expect(await system.ok('GET', path)).toMatchObject({ timestamp: shown });
  });

  it('sends no header that invites sniffing or framing', async () => {
    const { headers } = await send('/v1/accounts');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('x-frame-options')).toBe('SAMEORIGIN');
    expect(headers.get('x-powered-by')).toBeNull();
    expect(headers.get('server')).toBeNull();
  });
});
