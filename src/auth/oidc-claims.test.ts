import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { toId, uuidV7 } from '../common/ids.js';
import { identityOf } from './oidc-claims.js';
import { ALL_SCOPES } from './scopes.js';

const uuid = uuidV7(1_700_000_000_000);
const account = toId('account', uuid);
const ann = { sub: 'ann', exp: 1_800_000_000 };
const OPERATORS = { scope: 'scope', account: undefined };
const ACCOUNTS = { scope: 'scope', account: 'posthorn_account' };

describe('the claims of a token', () => {
  it.each([
    ['events:write deliveries:read', ['events:write', 'deliveries:read']],
    [
      ['events:write', 'deliveries:read'],
      ['events:write', 'deliveries:read'],
    ],
    ['openid profile events:write email', ['events:write']],
    [' events:write  events:write ', ['events:write']],
    ['events:write,deliveries:read', []],
    ['EVENTS:WRITE', []],
    [['events:write', 7, null, ['secrets:read']], ['events:write']],
    ['__proto__ constructor toString', []],
    ['*', []],
    ['', []],
    [undefined, []],
    [{ 'events:write': true }, []],
    [7, []],
  ])('with the scopes %j give %j', (scope, scopes) => {
    expect(identityOf({ ...ann, scope }, OPERATORS)).toEqual({
      subject: 'ann',
      accountId: null,
      scopes,
      expiresAt: new Date('2027-01-15T08:00:00Z'),
    });
  });

  it('have their scopes where the settings say', () => {
    const claims = { ...ann, scope: 'secrets:read', 'https://example.com/roles': ['events:read'] };
    const names = { ...OPERATORS, scope: 'https://example.com/roles' };
    expect(identityOf(claims, names)?.scopes).toEqual(['events:read']);
  });

  it('bind to an account where the settings name a claim for it', () => {
    expect(identityOf({ ...ann, posthorn_account: account }, ACCOUNTS)?.accountId).toBe(uuid);
    expect(identityOf({ ...ann, posthorn_account: account }, OPERATORS)?.accountId).toBeNull();
  });

  it('make an operator then only by saying so', () => {
    expect(identityOf({ ...ann, posthorn_account: '*' }, ACCOUNTS)?.accountId).toBeNull();
    const others = [
      undefined,
      null,
      '',
      'operator',
      '**',
      ['*'],
      [account],
      toId('endpoint', uuid),
      uuid,
      7,
      {},
    ];
    for (const each of others)
      expect([each, identityOf({ ...ann, posthorn_account: each }, ACCOUNTS)]).toEqual([each, null]);
    expect(identityOf({ ...ann }, ACCOUNTS)).toBeNull();
    expect(identityOf({ ...ann }, { scope: 'scope', account: '__proto__' })).toBeNull();
  });

  it.each([undefined, '', 'a\u0000b', 'a b', 'ü', 'a'.repeat(256), 7])(
    'with the subject %j name nobody',
    (sub) => {
      expect(identityOf({ ...ann, sub, scope: 'events:read' }, OPERATORS)).toBeNull();
    },
  );

  it.each([undefined, '1800000000', NaN, Infinity, -1, 253_402_300_800, 1e15])(
    'with the end %j name nobody',
    (exp) => {
      expect(identityOf({ ...ann, exp, scope: 'events:read' }, OPERATORS)).toBeNull();
    },
  );

  it('never give a scope that does not stand in them, whatever they hold', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (scope, posthorn_account) => {
        for (const names of [OPERATORS, ACCOUNTS]) {
          const identity = identityOf({ ...ann, scope, posthorn_account }, names);
          for (const each of identity?.scopes ?? []) {
            expect(ALL_SCOPES).toContain(each);
            expect(JSON.stringify(scope)).toContain(each);
          }
          if (names === ACCOUNTS && identity?.accountId === null) expect(posthorn_account).toBe('*');
        }
      }),
    );
  });
});
