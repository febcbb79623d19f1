import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AuditEntry } from '../../src/audit/entry.js';
import { fromId } from '../../src/common/ids.js';
import { PROJECT_ROOT } from '../../src/common/version.js';
import { KeyRing } from '../../src/secrets/key-ring.js';
import { type Account, System } from '../support/system.js';

describe('posthorn audit verify', () => {
  let system: System;
  let account: Account;
  let folder: string;

  /** The command line in a process of its own. */
  const posthorn = (...args: string[]) =>
    new Promise<{ code: number; out: string; err: string }>((resolve) => {
      const env = {
        PATH: process.env.PATH,
        POSTHORN_DATABASE_URL: system.databaseUrl,
        POSTHORN_ENCRYPTION_KEYS: KeyRing.generate(),
      };
      execFile(
        process.execPath,
        [join(PROJECT_ROOT, 'dist', 'src', 'cli.js'), ...args],
        { env },
        (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
      );
    });
  const verify = (...args: string[]) => posthorn('audit', 'verify', ...args);
  const entries = async (of = account): Promise<AuditEntry[]> =>
    (await system.ok<{ data: AuditEntry[] }>('GET', `${of.path}/audit-log`)).data.reverse();
  /** As the owner of the database may. */
  const tamper = async (statement: string, values: unknown[]) => {
    await system.sql('ALTER TABLE audit_log DISABLE TRIGGER USER');
    await system.sql(statement, values);
    await system.sql('ALTER TABLE audit_log ENABLE TRIGGER USER');
  };

  beforeEach(async () => {
    system = await System.start();
    account = await system.account();
    for (const name of ['one', 'two', 'three', 'four']) await system.ok('PATCH', account.path, { name });
    folder = await mkdtemp(join(tmpdir(), 'posthorn-heads-'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true });
    await system.stop();
  });

  it('counts what is right, with what the command line itself did', async () => {
    const none = await verify();
    expect(none).toMatchObject({
      code: 0,
      out: '',
      err: expect.stringContaining('All 5 entries of 1 chains'),
    });
    const made = await posthorn('keys', 'create', '--name', 'ops', '--scopes', 'audit:read');
    expect(made.code).toBe(0);
    const shown = await system.call<{ data: AuditEntry[] }>('GET', '/audit-log?limit=1', undefined, {
      authorization: `Bearer ${made.out.trim()}`,
    });
    expect(shown.body.data).toMatchObject([
      { actor: 'cli', action: 'key.create', accountId: null, sequence: 1, address: null },
    ]);
    expect(shown.body.data[0]?.userAgent).toMatch(/^posthorn\/\S+ on \S+$/);
    const two = await system.account('Other');
    expect((await verify()).err).toContain('All 7 entries of 3 chains are right.');
    expect((await verify('--account', two.id)).err).toContain('All 1 entries of 1 chains are right.');
  });

  it('names the first entry that is wrong in each chain, and ends with 1', async () => {
    const other = await system.account('Other');
    await system.ok('PATCH', other.path, { plan: 'gold' });
    await system.ok('PUT', '/event-types/a.b', {});
    const [, second, third] = await entries();
    const [first] = await entries(other);
    const uuid = fromId('account', account.id);
    await tamper('UPDATE audit_log SET key_id = $1 WHERE account_id = $2 AND sequence > 1 AND sequence < 4', [
      'key_x',
      uuid,
    ]);
    await tamper('DELETE FROM audit_log WHERE account_id = $1 AND sequence = 2', [
      fromId('account', other.id),
    ]);
    const { code, out, err } = await verify();
    expect(code).toBe(1);
    expect(out.split('\n').sort()).toEqual([
      '',
      expect.stringMatching(new RegExp(`^${account.id}: entry 2 \\(${second?.id}\\) changed: `)),
      expect.stringMatching(new RegExp(`^${other.id}: entry 2 removed: `)),
    ]);
    expect(err).toContain('2 of 3 chains are wrong; 3 entries are right.');
    expect([first?.sequence, third?.sequence]).toEqual([1, 3]);
  });

  it.each([
    [
      'swapped',
      `UPDATE audit_log SET sequence = CASE sequence WHEN 2 THEN 4 ELSE 2 END WHERE account_id = $1 AND sequence IN (2, 4)`,
      /entry 2 \(aud_\w+\) reordered/,
    ],
    [
      'put in',
      `INSERT INTO audit_log SELECT gen_random_uuid(), account_id, 6, at, key_id, address, user_agent, action, resource_id,
        changes, request_id, hash, hash FROM audit_log WHERE account_id = $1 AND sequence = 5`,
      /entry 6 \(aud_\w+\) inserted/,
    ],
    [
      'timeless',
      `UPDATE audit_log SET at = 'infinity' WHERE account_id = $1 AND sequence = 3`,
      /entry 3 .* changed/,
    ],
  ])('finds entries that were %s', async (_, statement, finding) => {
    await system.sql('ALTER TABLE audit_log DROP CONSTRAINT audit_log_by_chain');
    await tamper(statement, [fromId('account', account.id)]);
    const { code, out } = await verify();
    expect(code).toBe(1);
    expect(out).toMatch(finding);
  });

  it('prints where chains end, and finds by that what was cut off or removed as a whole', async () => {
    const other = await system.account('Other');
    const heads = join(folder, 'heads.jsonl');
    const { code, out } = await verify('--json');
    expect(code).toBe(0);
    const chain = await entries();
    expect(
      out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      { accountId: account.id, sequence: 5, hash: chain[4]?.hash, right: true },
      { accountId: other.id, sequence: 1, hash: (await entries(other))[0]?.hash, right: true },
    ]);
    await writeFile(heads, out);
    await system.ok('PATCH', other.path, { plan: 'gold' });
    expect(await verify('--expect', heads)).toMatchObject({ code: 0 });

    // The owner of the database may also mend the head.
    const [cut, gone] = [fromId('account', account.id), fromId('account', other.id)];
    await tamper('DELETE FROM audit_log WHERE account_id = $1 AND sequence > 3', [cut]);
    expect((await verify()).out).toMatch(
      /entry 4 removed: numbers 4 to 5 are missing, by the head of the chain/,
    );
    await system.sql('UPDATE audit_chains SET sequence = 3, hash = decode($2, $3) WHERE chain = $1', [
      cut,
      chain[2]?.hash,
      'hex',
    ]);
    await tamper('DELETE FROM audit_log WHERE account_id = $1', [gone]);
    await system.sql('ALTER TABLE audit_chains DISABLE TRIGGER USER');
    await system.sql('DELETE FROM audit_chains WHERE chain = $1', [gone]);
    expect(await verify()).toMatchObject({ code: 0 });
    const found = await verify('--expect', heads, '--json');
    expect(found.code).toBe(1);
    expect(
      found.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toMatchObject([
      { accountId: account.id, right: false, finding: { problem: 'removed', sequence: 4, id: null } },
      { accountId: other.id, sequence: 0, right: false, finding: { problem: 'removed', sequence: 1 } },
    ]);
  });

  it('says what is wrong with its command line', async () => {
    const file = join(folder, 'heads.jsonl');
    await writeFile(file, '\n{"accountId":"ep_1","sequence":1,"hash":null}\n');
    for (const [args, why] of [
      [['--account', 'ep_00000000000000000000000000'], '`--account` must be an `acc_…` id.'],
      [['--expect', file], 'line 2 is not a line that `audit verify --json` prints'],
      [['--expect', join(folder, 'none')], 'ENOENT'],
      [['--all'], '--all'],
    ] as const) {
      const { code, err } = await verify(...args);
      expect([code, err]).toEqual([1, expect.stringContaining(why)]);
    }
    expect((await posthorn('audit', 'repair')).err).toContain('There is only `audit verify`.');
  });
});
