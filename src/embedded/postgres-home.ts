import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  readFile,
  readdir,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedError } from './embedded-error.js';
import type { Progress } from './long-step.js';
import { canReach, type OsUser, postgresUser } from './os-user.js';
import { copyPostgresBinaries, findPostgresBinaries, type PostgresBinaries } from './postgres-binaries.js';

/** Where databases and binaries of root's own clones go when PostgreSQL's user cannot reach those. */
const SYSTEM_FOLDER = '/var/lib/posthorn';
const BELONGS_TO = 'belongs-to';

export interface PostgresHome {
  /** Holds `data`, `password` and `lock`; its true path. */
  folder: string;
  binaries: PostgresBinaries;
  user: OsUser | undefined;
}

/**
 * Finds or makes the home of a data folder's PostgreSQL: `<dataDir>/postgres`. As root, PostgreSQL runs as another user, who
 * may be shut out there by a folder of mode 700 somewhere above; the user's own folders stay as they are, so then the
 * databases live in a system folder, and `<dataDir>/postgres` points to them.
 */
export async function postgresHome(dataDir: string, progress: Progress): Promise<PostgresHome> {
  const [binaries, user] = await Promise.all([findPostgresBinaries(), postgresUser()]);
  const path = join(dataDir, 'postgres');
  if (!user) {
    await mkdir(path, { recursive: true, mode: 0o700 });
    return { folder: await realpath(path), binaries, user };
  }
  await makeHome(path);
  if (!(await canReach(user, await realpath(path)))) await moveToSystemFolder(path, user, progress);
  const folder = await realpath(path);
  return { folder, binaries: await reachableBinaries(binaries, user), user };
}

/** The user passes through to the data, and sees nothing else. */
async function makeHome(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isSymbolicLink()) {
    if (await stat(path).catch(() => undefined)) return;
    // What it pointed to was removed.
    await rm(path);
  } else if (found) return;
  await mkdir(path);
  await chmod(path, 0o711);
}

async function moveToSystemFolder(path: string, user: OsUser, progress: Progress): Promise<void> {
  await makeSystemFolder();
  await reportForsaken(progress);
  const target = join(SYSTEM_FOLDER, randomBytes(6).toString('hex'));
  if (!(await canReach(user, SYSTEM_FOLDER))) {
    throw new EmbeddedError(
      'postgres_folder_unreachable',
      `PostgreSQL runs as the user '${user.name}', who can reach neither ${path} nor ${SYSTEM_FOLDER}. Set POSTHORN_DATA_DIR to a folder which that user can reach, or POSTHORN_DATABASE_URL to a PostgreSQL of your own`,
    );
  }
  const source = await realpath(path);
  try {
    await rename(source, target);
  } catch {
    // Another file system.
    await cp(source, target, { recursive: true, preserveTimestamps: true });
    await chownData(target, user);
    await rm(source, { recursive: true });
  }
  await writeFile(join(target, BELONGS_TO), `${path}\n`);
  await rm(path, { force: true, recursive: true });
  await symlink(target, path);
}

async function makeSystemFolder(): Promise<void> {
  try {
    await mkdir(SYSTEM_FOLDER, { recursive: true });
    await chmod(SYSTEM_FOLDER, 0o755);
  } catch (error) {
    throw new EmbeddedError(
      'postgres_folder_unreachable',
      `PostgreSQL cannot run as root, and its user cannot reach this clone; ${SYSTEM_FOLDER}, where its data would go instead, cannot be made (${(error as Error).message}). Set POSTHORN_DATA_DIR to a folder which everyone may pass through, or POSTHORN_DATABASE_URL to a PostgreSQL of your own`,
      { cause: error },
    );
  }
}

async function chownData(target: string, user: OsUser): Promise<void> {
  for (const entry of await readdir(target, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (path === join(target, 'data') || path.startsWith(`${join(target, 'data')}/`))
      await chown(path, user.uid, user.gid);
  }
}

/** A clone that was deleted leaves its databases behind here; nobody but the person can say that they are not needed. */
async function reportForsaken(progress: Progress): Promise<void> {
  for (const name of await readdir(SYSTEM_FOLDER)) {
    const home = join(SYSTEM_FOLDER, name);
    const owner = (await readFile(join(home, BELONGS_TO), 'utf8').catch(() => '')).trim();
    if (owner !== '' && !(await lstat(owner).catch(() => undefined))) {
      progress(`${home} has the database of ${owner}, which is gone: delete it when you do not need it`);
    }
  }
}

async function reachableBinaries(binaries: PostgresBinaries, user: OsUser): Promise<PostgresBinaries> {
  const { root } = binaries;
  const needed = [join(root, 'bin', 'postgres'), join(root, 'share', 'postgresql', 'postgres.bki')];
  if (await canReach(user, join(root, 'lib'), needed)) return binaries;
  await makeSystemFolder();
  return copyPostgresBinaries(binaries, SYSTEM_FOLDER);
}
