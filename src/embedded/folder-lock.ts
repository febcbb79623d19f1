import { createHash, randomInt, randomUUID } from 'node:crypto';
import { unlinkSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processIdentity } from './processes.js';

const PREFIX = 'lock-';
/** Time that another process is given to finish dying, or trying, before the folder counts as its own. */
const PATIENCE_MS = 1_000;
const BACK_OFF_MS = [5, 120] as const;

export interface FolderLock {
  /** Synchronous, so that it also works while the process exits. */
  release(): void;
}

/** The folder belongs to a process that is alive. */
export class FolderLockedError extends Error {
  constructor(
    readonly folder: string,
    readonly pid: number,
  ) {
    super(`${folder} is in use by process ${pid}`);
    this.name = 'FolderLockedError';
  }
}

/**
 * Takes a folder for this process, by a file whose name says who that is. Whoever wants it puts its file there first and looks
 * for others' afterwards, so of two at least one sees the other, and steps back. Files of processes that are gone do not count:
 * their names cannot come back, so anyone may remove them.
 *
 * @throws FolderLockedError when a living process, this one included, holds it
 */
export async function lockFolder(folder: string, patienceMs = PATIENCE_MS): Promise<FolderLock> {
  const name = `${PREFIX}${process.pid}-${await fingerprint(process.pid)}-${randomUUID()}`;
  const path = join(folder, name);
  const deadline = Date.now() + patienceMs;
  for (;;) {
    await writeFile(path, '', { mode: 0o600 });
    const other = await livingHolder(folder, name);
    if (other === undefined) break;
    await rm(path, { force: true });
    if (Date.now() > deadline) throw new FolderLockedError(folder, other);
    await sleep(randomInt(...BACK_OFF_MS));
  }
  return {
    release: () => {
      try {
        unlinkSync(path);
      } catch {
        // Gone with its folder.
      }
    },
  };
}

async function livingHolder(folder: string, ownName: string): Promise<number | undefined> {
  for (const name of await readdir(folder)) {
    const [, pid, identity] = /^lock-(\d+)-([0-9a-f]+)-/.exec(name) ?? [];
    if (pid === undefined || name === ownName) continue;
    if ((await fingerprint(Number(pid))) === identity) return Number(pid);
    await rm(join(folder, name), { force: true });
  }
  return undefined;
}

async function fingerprint(pid: number): Promise<string> {
  const identity = await processIdentity(pid);
  return createHash('sha256')
    .update(identity ?? randomUUID())
    .digest('hex')
    .slice(0, 12);
}
