import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PORTAL_SCOPES } from '../../src/auth/scopes.js';
import { PREFIXES, toId, uuidV7 } from '../../src/common/ids.js';
import type { PortalToken, PortalTokenMade } from '../../src/portal-tokens/portal-tokens.schema.js';
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
import { Issuer } from '../support/issuer.js';
import { System } from '../support/system.js';

const AUDIENCE = 'https://posthorn.example';

const guarded = (operation: Operation) => operation['x-scope'] !== undefined;
const ofAccount = (operation: Operation) => operation.template.includes('{account}');
/** What belongs to no account and is everybody's to read. */
const shared = (operation: Operation) =>
  (operation['x-scope'] === 'event-types:read' && !/\/usage$|\/conversions\//.test(operation.template)) ||
  operation.template === '/v1/egress';
const ofOperator = (operation: Operation) =>
  guarded(operation) && !ofAccount(operation) && !shared(operation);
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

describe('every route of the OpenAPI document', () => {
  let system: System;
  let issuer: Issuer;
  let operations: Operation[];
  /** Whose resources nobody else is to see. */
  let ids: Ids;
  let theirs: { ids: Ids; key: string };
  let theirPortalToken: string;
  /** What no refusal and no list of others may show. */
  let secrets: string[];
  const lacking = new Map<string, string>();

  const key = async (body: Record<string, unknown>, path = '/keys') =>
    (await system.ok<{ id: string; secret: string }>('POST', path, { name: 'test', ...body })).secret;
  const portalToken = async (account: string, body: Record<string, unknown> = {}) => {
    const path = `/accounts/${account}/portal-tokens`;
    const { code } = await system.ok<PortalTokenMade>('POST', path, body);
    return (await system.ok<PortalToken>('POST', '/portal/exchange', { code })).token;
  };

  interface Walk {
    pick?: (operation: Operation) => boolean;
    headers?: (operation: Operation) => Record<string, string>;
    query?: string;
    status: number;
    code: string;
    challenge?: (operation: Operation) => string | null;
  }
  /** Calls each of them for the victim's resources. @returns how many there were, and what was not as it should be */
  const walk = async ({
    pick = guarded,
    headers = () => ({}),
    query = '',
    status,
    code,
    challenge = () => null,
  }: Walk) => {
    const picked = operations.filter(pick);
    const wrong: string[] = [];
    for (const operation of picked) {
      const path = `${pathOf(operation.template, ids)}${query}`;
      const answer = await callOperation(system, operation, path, headers(operation));
      const got = `${answer.status} ${String(answer.code)} ${answer.headers.get('www-authenticate') ?? ''}`;
      const told = (what: string) => wrong.push(`${operation.method} ${operation.template}: ${what}`);
      if (got !== `${status} ${code} ${challenge(operation) ?? ''}`) told(got);
      for (const secret of secrets) if (answer.text.includes(secret)) told(`shows ${secret}`);
    }
    return { count: picked.length, wrong };
  };
  const refused = (count: number) => ({ count, wrong: [] });
  const countOf = (pick: (operation: Operation) => boolean) => operations.filter(pick).length;

  const INVALID = () => 'Bearer error="invalid_token"';
  const INSUFFICIENT = () => 'Bearer error="insufficient_scope"';
  const LACKS = ({ 'x-scope': scope = '' }: Operation) =>
    `Bearer error="insufficient_scope", scope="${scope}"`;

  beforeAll(async () => {
    issuer = await Issuer.start();
    system = await System.start({
      env: {
        POSTHORN_GUESSES_PER_ADDRESS: '1000000',
        POSTHORN_GUESSES_PER_PREFIX: '1000000',
        POSTHORN_OIDC_ISSUER: issuer.url,
        POSTHORN_OIDC_AUDIENCE: AUDIENCE,
        POSTHORN_OIDC_ACCOUNT_CLAIM: 'account',
      },
    });
    operations = operationsOf(await readDocument(system));
    ({ ids } = await oneOfEach(system));
    theirs = await oneOfEach(system);
    theirPortalToken = await portalToken(theirs.ids.account);
    await system.ok('PATCH', `/accounts/${ids.account}`, { name: 'The Victim' });
    const { secret } = await system.ok<{ secret: string }>(
      'GET',
      `/accounts/${ids.account}/endpoints/${ids.endpoint}/secret`,
    );
    const known = Object.entries(ids).flatMap(([name, id]) => (NAMED.has(name) ? [] : [id]));
    secrets = [...known, 'The Victim', secret];
    const scopes = [...new Set(operations.filter(guarded).map((operation) => operation['x-scope'] ?? ''))];
    for (const scope of scopes)
      lacking.set(scope, await key({ scopes: scopes.filter((other) => other !== scope) }));
  });
  afterAll(async () => {
    await system.stop();
    await issuer.stop();
  });

  it('asks for a credential, but for health, what receivers may know, links that are credentials themselves, the docs and the exchange of a portal code', async () => {
    const open = operations.filter((operation) => !guarded(operation));
    expect(open.map(({ method, template }) => `${method} ${template}`).sort()).toEqual([
      'GET /.well-known/posthorn.json',
      'GET /healthz',
      'GET /readyz',
      'GET /v1/fetch/{fetchToken}',
      'GET /v1/handshakes/{leave}',
      'POST /v1/handshakes/{leave}',
      'POST /v1/portal/exchange',
    ]);
    for (const path of [
      '/.well-known/posthorn.json',
      '/healthz',
      '/readyz',
      '/docs',
      '/docs/start.js',
      '/openapi.json',
    ])
      expect([path, (await fetch(`${system.url}${path}`)).status]).toEqual([path, 200]);
    expect(countOf(guarded)).toBeGreaterThan(25);
    expect(countOf(ofAccount)).toBeGreaterThan(18);
    expect(countOf(ofOperator)).toBeGreaterThan(7);
    expect(lacking.size).toBeGreaterThan(12);
  });

  it('refuses who has no key', async () => {
    const answers = await walk({ status: 401, code: 'unauthenticated', challenge: () => 'Bearer' });
    expect(answers).toEqual(refused(countOf(guarded)));
  });

  it.each(['access_token', 'key', 'token'])('refuses a good key in the query, as %s', async (name) => {
    const answers = await walk({
      query: `?${name}=${system.rootKey}`,
      status: 401,
      code: 'unauthenticated',
      challenge: () => 'Bearer',
    });
    expect(answers).toEqual(refused(countOf(guarded)));
  });

  it.each([
    ['a key that was never made', () => `phk_${randomBytes(32).toString('base64url')}`],
    ['what is no key', () => 'x'],
    ['a portal code', () => `ptc_${randomBytes(32).toString('base64url')}`],
    [
      'an expired key',
      async () => {
        const secret = await key({ name: 'expired' });
        await system.sql(`UPDATE api_keys SET expires_at = now() WHERE name = 'expired'`);
        return secret;
      },
    ],
    [
      'a revoked key',
      async () => {
        const secret = await key({ name: 'revoked' });
        await system.sql(`UPDATE api_keys SET revoked_at = now() WHERE name = 'revoked'`);
        return secret;
      },
    ],
    [
      'an expired token of the issuer',
      () => issuer.sign({ aud: AUDIENCE, sub: 'ann', account: '*', exp: Math.floor(Date.now() / 1000) - 60 }),
    ],
    [
      'a token of the issuer for somebody else',
      () => issuer.sign({ aud: 'https://other.example', sub: 'ann', account: '*' }),
    ],
    ['a token of the issuer that names no account', () => issuer.sign({ aud: AUDIENCE, sub: 'ann' })],
    [
      'a token of the issuer for an account that does not exist',
      () => issuer.sign({ aud: AUDIENCE, sub: 'ann', account: toId('account', uuidV7(1)) }),
    ],
  ])('refuses %s', async (_, make) => {
    const token = await make();
    const answers = await walk({
      headers: () => bearer(token),
      status: 401,
      code: 'unauthenticated',
      challenge: INVALID,
    });
    expect(answers).toEqual(refused(countOf(guarded)));
  });

  it('refuses a key that lacks its scope and has all others', async () => {
    const answers = await walk({
      headers: (operation) => bearer(lacking.get(operation['x-scope'] ?? '') ?? ''),
      status: 403,
      code: 'forbidden',
      challenge: LACKS,
    });
    expect(answers).toEqual(refused(countOf(guarded)));
  });

  it('refuses a token of the issuer without a scope, or with scopes that are none', async () => {
    for (const scope of [undefined, 'openid admin *', ['root']]) {
      const token = await issuer.sign({ aud: AUDIENCE, sub: 'ann', account: '*', scope });
      const answers = await walk({
        headers: () => bearer(token),
        status: 403,
        code: 'forbidden',
        challenge: LACKS,
      });
      expect(answers).toEqual(refused(countOf(guarded)));
    }
  });

  it('refuses a portal token what a portal may never do, in its own account too', async () => {
    const token = await portalToken(ids.account);
    const pick = (operation: Operation) =>
      ofAccount(operation) && !(PORTAL_SCOPES as readonly string[]).includes(operation['x-scope'] ?? '');
    const answers = await walk({
      pick,
      headers: () => bearer(token),
      status: 403,
      code: 'forbidden',
      challenge: LACKS,
    });
    expect(answers).toEqual(refused(countOf(pick)));
    expect(countOf(pick)).toBeGreaterThanOrEqual(7);
  });

  const OTHERS = [
    ["another account's key", () => theirs.key],
    ["another account's portal token", () => theirPortalToken],
    [
      "another account's token of the issuer",
      () =>
        issuer.sign({ aud: AUDIENCE, sub: 'eve', account: theirs.ids.account, scope: [...lacking.keys()] }),
    ],
  ] as const;

  it.each(OTHERS)('of an account is not found with %s, whatever it names', async (_, make) => {
    const token = await make();
    const answers = await walk({
      pick: ofAccount,
      headers: () => bearer(token),
      status: 404,
      code: 'not_found',
    });
    expect(answers).toEqual(refused(countOf(ofAccount)));
  });

  it.each(OTHERS)('of the operator is refused to %s', async (_, make) => {
    const token = await make();
    const answers = await walk({
      pick: ofOperator,
      headers: () => bearer(token),
      status: 403,
      code: 'forbidden',
      challenge: INSUFFICIENT,
    });
    expect(answers).toEqual(refused(countOf(ofOperator)));
  });

  it.each(OTHERS)('that all accounts share can be read with %s', async (_, make) => {
    const token = await make();
    for (const operation of operations.filter(shared)) {
      const answer = await callOperation(system, operation, pathOf(operation.template, ids), bearer(token));
      expect([operation.operationId, answer.status]).toEqual([operation.operationId, 200]);
    }
    expect(countOf(shared)).toBe(4);
  });

  it.each(OTHERS)(
    'answers %s the same for what another account has as for what never was',
    async (_, make) => {
      const token = await make();
      const never = Object.fromEntries(
        Object.entries(ids).map(([name, id]) => [
          name,
          name in PREFIXES ? toId(name as keyof typeof PREFIXES, uuidV7(Date.now())) : id,
        ]),
      );
      const wrong: string[] = [];
      for (const operation of operations.filter(ofAccount)) {
        const answers = [];
        for (const each of [ids, never]) {
          const { status, text, headers } = await callOperation(
            system,
            operation,
            pathOf(operation.template, each),
            bearer(token),
          );
          const problem = { ...(JSON.parse(text) as Record<string, unknown>), requestId: null };
          answers.push(JSON.stringify([status, problem, [...headers.keys()].sort()]));
        }
        if (answers[0] !== answers[1]) wrong.push(`${operation.operationId}: ${answers.join(' | ')}`);
      }
      expect(wrong).toEqual([]);
    },
  );

  it("answers 404 for another account's resources under one's own account", async () => {
    const wrong: string[] = [];
    const named = operations.filter((operation) => /\{account\}.*\{/.test(operation.template));
    expect(named.length).toBeGreaterThan(9);
    for (const operation of named) {
      const path = pathOf(operation.template, { ...ids, account: theirs.ids.account });
      for (const secret of [theirs.key, system.rootKey]) {
        const { status, code } = await callOperation(system, operation, path, bearer(secret));
        if (status !== 404 || code !== 'not_found') wrong.push(`${operation.method} ${path}: ${status}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it.each(OTHERS)("shows in a list of one's own nothing of another account, to %s", async (_, make) => {
    const token = await make();
    const lists = operations.filter(
      ({ method, template }) => method === 'GET' && /\{account\}\/[\w-]+$/.test(template),
    );
    expect(lists.length).toBeGreaterThanOrEqual(4);
    const read = new Set<string>();
    for (const operation of lists) {
      for (const query of ['', '?limit=250']) {
        const path = `${pathOf(operation.template, theirs.ids)}${query}`;
        const { status, text } = await callOperation(system, operation, path, bearer(token));
        if (status === 403) continue;
        expect([operation.operationId, status]).toEqual([operation.operationId, 200]);
        expect(secrets.filter((secret) => text.includes(secret))).toEqual([]);
        read.add(operation.operationId);
      }
    }
    expect(read.size).toBeGreaterThanOrEqual(3);
  });

  it('left everything as it was while it refused', async () => {
    const path = `/accounts/${ids.account}`;
    expect(await system.ok('GET', path)).toMatchObject({ plan: null });
    expect(await system.ok('GET', `${path}/endpoints/${ids.endpoint}`)).toMatchObject({ description: null });
    expect(await system.ok('GET', `${path}/deliveries/${ids.delivery}`)).toMatchObject({ status: 'held' });
    const { data } = await system.ok<{ data: { revokedAt: unknown }[] }>('GET', `${path}/keys`);
    expect(data.map(({ revokedAt }) => revokedAt)).toEqual([null]);
    const tokens = await system.sql(
      'SELECT 1 FROM portal_tokens t JOIN accounts a ON a.id = t.account_id WHERE a.name = $1 AND revoked_at IS NOT NULL',
      ['The Victim'],
    );
    expect(tokens).toEqual([]);
  });
});
