import { randomBytes } from 'node:crypto';
import { access, constants, mkdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FolderLock, FolderLockedError, lockFolder } from './folder-lock.js';
import { longStep, type Progress } from './long-step.js';

const LOCK_POLL_MS = 300;

/** Per user, and shared by all clones. */
export function cacheFolder(): string {
  const { POSTHORN_CACHE_DIR: own, XDG_CACHE_HOME: xdg } = process.env;
  if (own) return own;
  return join(xdg?.startsWith('/') ? xdg : join(homedir(), '.cache'), 'posthorn');
}

/** A way to get a program; `get` resolves with its path, or undefined when it does not apply here, and throws why it failed. */
export interface Way {
  name: string;
  get: () => Promise<string | undefined>;
}

export interface Tried {
  name: string;
  reason: string;
}

/** Takes the first way that works. */
export async function firstThatWorks(ways: readonly Way[]): Promise<{ path: string } | { tried: Tried[] }> {
  const tried: Tried[] = [];
  for (const { name, get } of ways) {
    try {
      const path = await get();
      if (path !== undefined) return { path };
      tried.push({ name, reason: 'nothing there' });
    } catch (error) {
      tried.push({ name, reason: (error as Error).message });
    }
  }
  return { tried };
}

/**
 * Fills the folder of a cache entry by `make`, which gets a new folder and returns nothing: it becomes the entry as a whole or
 * not at all. Another process that makes the same is waited for.
 */
export async function fillCache(
  entry: string,
  program: string,
  progress: Progress,
  make: (draft: string) => Promise<void>,
): Promise<string> {
  const folder = cacheFolder();
  const path = join(folder, entry, program);
  const lock = await waitForLock(join(folder, `${entry}.lock`), entry, progress);
  const draft = join(folder, `${entry}.${randomBytes(4).toString('hex')}`);
  try {
    if (await isExecutable(path)) return path;
    await mkdir(draft, { recursive: true });
    await make(draft);
    await rm(join(folder, entry), { recursive: true, force: true });
    await rename(draft, join(folder, entry));
    return path;
  } finally {
    await rm(draft, { recursive: true, force: true });
    lock.release();
  }
}

async function waitForLock(folder: string, what: string, progress: Progress): Promise<FolderLock> {
  await mkdir(folder, { recursive: true });
  try {
    return await lockFolder(folder);
  } catch (error) {
    if (!(error instanceof FolderLockedError)) throw error;
    return longStep(progress, `waiting for process ${error.pid}, which is getting ${what}`, async () => {
      for (;;) {
        await sleep(LOCK_POLL_MS);
        try {
          return await lockFolder(folder);
        } catch (again) {
          if (!(again instanceof FolderLockedError)) throw again;
        }
      }
    });
  }
}

export const isExecutable = async (path: string): Promise<boolean> =>
  access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
