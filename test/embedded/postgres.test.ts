import { afterAll, describe, expect, it } from '@jest/globals';
import { chmod, mkdir, readFile, realpath, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedError } from '../../src/embedded/index.js';
import { isRunning } from '../../src/embedded/processes.js';
import { EmbeddedFixture, ended, eventually, killAll, orphan, modeOf, query } from './embedded.fixture.js';

// Only root has to run PostgreSQL as somebody else, who must reach its folders.
const isRoot = process.getuid?.() === 0;
const fixture = new EmbeddedFixture();
afterAll(() => fixture.end());

describe('embedded PostgreSQL', () => {
  it('keeps its data, port and password over a stop and a start', async () => {
    const dataDir = await fixture.folder();
    const first = await fixture.start(dataDir, { postgres: true });
    await query(first.databaseUrl, 'CREATE TABLE kept AS SELECT 7 AS n');
    const pids = first.pids();
    await first.stop();
    await ended(pids);

    const second = await fixture.start(dataDir, { postgres: true });
    expect(second.databaseUrl).toBe(first.databaseUrl);
    expect(await query(second.databaseUrl, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
    expect(new URL(second.databaseUrl ?? '').hostname).toBe('127.0.0.1');
    expect(await modeOf(join(dataDir, 'postgres', 'password'))).toBe(0o600);
  });

  it('is durable, version 18, and in UTF-8', async () => {
    const dataDir = await fixture.folder();
    const { databaseUrl } = await fixture.start(dataDir, { postgres: true });
    const [settings] = await query(
      databaseUrl,
      `SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit,
              current_setting('full_page_writes') AS pages, current_setting('server_encoding') AS encoding,
              current_setting('server_version_num')::int / 10000 AS version, current_database() AS database`,
    );
    expect(settings).toEqual({
      fsync: 'on',
      commit: 'on',
      pages: 'on',
      encoding: 'UTF8',
      version: 18,
      database: 'posthorn',
    });
  });

  it('keeps what was committed over a kill -9 of everything', async () => {
    const dataDir = await fixture.folder();
    const held = await fixture.hold(dataDir, 'postgres');
    await query(held.databaseUrl, 'CREATE TABLE kept AS SELECT 7 AS n');
    await killAll(held);

    const again = await fixture.start(dataDir, { postgres: true });
    expect(await query(again.databaseUrl, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
  });

  it('does not outlive a Posthorn that was killed', async () => {
    const held = await fixture.hold(await fixture.folder(), 'postgres');
    held.child.kill('SIGKILL');
    await ended(held.pids);
  });

  it('ends the server of a killed run that is still there, and serves its data', async () => {
    const dataDir = await fixture.folder();
    const held = await fixture.hold(dataDir, 'postgres');
    await query(held.databaseUrl, 'CREATE TABLE kept AS SELECT 7 AS n');
    const left = await orphan(held);
    expect(await isRunning(left)).toBe(true);

    const again = await fixture.start(dataDir, { postgres: true });
    expect(await isRunning(left)).toBe(false);
    expect(again.databaseUrl).toBe(held.databaseUrl);
    expect(await query(again.databaseUrl, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
  });

  it('starts although the number of its killed server belongs to another program now', async () => {
    const dataDir = await fixture.folder();
    const held = await fixture.hold(dataDir, 'postgres');
    await killAll(held);
    const pidFile = join(dataDir, 'postgres', 'data', 'postmaster.pid');
    const [, ...rest] = (await readFile(pidFile, 'utf8')).split('\n');
    await writeFile(pidFile, [String(process.pid), ...rest].join('\n'));

    const again = await fixture.start(dataDir, { postgres: true });
    expect(await query(again.databaseUrl, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  });

  it('is started again where it was when it dies', async () => {
    const exits: string[] = [];
    const { databaseUrl, pids } = await fixture.start(await fixture.folder(), {
      postgres: true,
      onServerExit: (server, how) => exits.push(`${server} ${how}`),
    });
    const [pid = 0] = pids();
    process.kill(pid, 'SIGKILL');
    await ended([pid]);
    await eventually(() => query(databaseUrl, 'SELECT 1'));
    expect(exits).toEqual(['PostgreSQL SIGKILL']);
    expect(pids()).not.toEqual([pid]);
  });

  it('throws away what an interrupted first start began', async () => {
    const dataDir = await fixture.folder();
    await mkdir(join(dataDir, 'postgres', 'data.new'), { recursive: true });
    await writeFile(join(dataDir, 'postgres', 'data.new', 'PG_VERSION'), '18\n');
    const { databaseUrl } = await fixture.start(dataDir, { postgres: true });
    expect(await query(databaseUrl, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
    await expect(stat(join(dataDir, 'postgres', 'data.new'))).rejects.toThrow('ENOENT');
  });

  it('tells a second Posthorn on the same data folder who has it and what to set', async () => {
    const dataDir = await fixture.folder();
    const held = await fixture.hold(dataDir, 'postgres');
    const refused = fixture.start(dataDir, { postgres: true });
    await expect(refused).rejects.toBeInstanceOf(EmbeddedError);
    await expect(refused).rejects.toThrow(
      new RegExp(`process ${held.child.pid ?? ''}\\b.*POSTHORN_DATA_DIR.*POSTHORN_PORT`),
    );
    expect(await query(held.databaseUrl, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  });

  (isRoot ? it : it.skip)(
    'runs as root under a folder that is shut to others, and leaves that shut',
    async () => {
      const parent = await fixture.folder(0o700);
      const dataDir = join(parent, 'data');
      const first = await fixture.start(dataDir, { postgres: true });
      await query(first.databaseUrl, 'CREATE TABLE kept AS SELECT 7 AS n');
      await first.stop();
      expect(await modeOf(parent)).toBe(0o700);
      const shown = first.locations.find(({ label }) => label === 'PostgreSQL')?.path;
      expect(shown).toMatch(/^\/var\/lib\/posthorn\//);
      expect(await realpath(join(dataDir, 'postgres'))).toBe(shown);

      const second = await fixture.start(dataDir, { postgres: true });
      expect(await query(second.databaseUrl, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
    },
  );

  (isRoot ? it : it.skip)('takes its data along when a folder above is shut later', async () => {
    const parent = await fixture.folder(0o711);
    const dataDir = join(parent, 'data');
    await mkdir(dataDir);
    const first = await fixture.start(dataDir, { postgres: true });
    await query(first.databaseUrl, 'CREATE TABLE kept AS SELECT 7 AS n');
    await first.stop();
    await chmod(parent, 0o700);

    const second = await fixture.start(dataDir, { postgres: true });
    expect(second.databaseUrl).toBe(first.databaseUrl);
    expect(await query(second.databaseUrl, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
  });
});
