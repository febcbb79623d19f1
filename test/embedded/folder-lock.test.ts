import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FolderLockedError, lockFolder } from '../../src/embedded/folder-lock.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'posthorn-lock-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('the lock on a folder', () => {
  it('names its holder, and can be taken again after it is released', async () => {
    const lock = await lockFolder(folder);
    await expect(lockFolder(folder)).rejects.toMatchObject({ pid: process.pid });
    lock.release();
    (await lockFolder(folder)).release();
    expect(await readdir(folder)).toEqual([]);
  });

  it('is taken over from a process that is gone', async () => {
    const gone = spawn('true');
    await new Promise((resolve) => gone.once('exit', resolve));
    await writeFile(join(folder, `lock-7-${gone.pid ?? 0}-0123456789ab-x`), '');
    (await lockFolder(folder)).release();
    expect(await readdir(folder)).toEqual([]);
  });

  it('is taken over when the number of its holder belongs to another process now', async () => {
    await writeFile(join(folder, `choosing-${process.pid}-0123456789ab-x`), '');
    (await lockFolder(folder)).release();
  });

  it('goes to exactly one of many that find it stale at the same time, with no time to try again', async () => {
    for (let round = 0; round < 5; round++) {
      await writeFile(join(folder, `lock-1-${process.pid}-0123456789ab-x`), '');
      const results = await Promise.allSettled(Array.from({ length: 50 }, () => lockFolder(folder, 0)));
      const won = results.filter((result) => result.status === 'fulfilled');
      const lost = results.filter((result) => result.status === 'rejected');
      expect(won).toHaveLength(1);
      for (const { reason } of lost) expect(reason).toBeInstanceOf(FolderLockedError);
      won[0]?.value.release();
    }
  });
});
