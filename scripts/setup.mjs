// Everything between a fresh clone and a running program. Plain Node, since nothing else is installed yet.
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, linkSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { run, say, step } from './terminal.mjs';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

const OLDEST_NODE = [20, 19];
const SOURCES = ['src', 'workflows', 'activities', 'bench', 'scripts', 'test/chaos', 'test/support'];
const BUILD_FILES = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'nest-cli.json'];
const BUILD_STAMP = join(ROOT, 'dist', '.built-from');
const LOCK_POLL_MS = 200;

/**
 * Brings dependencies and, unless told otherwise, the build up to date; a second time there is nothing to do.
 * Says what went wrong and ends the process when that does not work.
 */
export async function setUp({ build = true } = {}) {
  try {
    requireNode();
    if (!dependenciesInstalled() || (build && !isBuilt())) {
      await alone(async () => {
        if (!dependenciesInstalled()) await installDependencies();
        if (build && !isBuilt()) await buildAll();
      });
    }
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    process.exit(1);
  }
}

function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return;
  throw new Error(
    `Posthorn needs Node ${OLDEST_NODE.join('.')} or newer; this is ${process.versions.node}. Get one from https://nodejs.org`,
  );
}

/** Compares what npm last installed with what package-lock.json asks for. npm writes its list at the very end of an install. */
function dependenciesInstalled() {
  const installed = packagesOf(join(ROOT, 'node_modules', '.package-lock.json'));
  const wanted = packagesOf(join(ROOT, 'package-lock.json'));
  return (
    installed !== undefined &&
    wanted !== undefined &&
    Object.entries(wanted).every(
      ([path, { version, optional, peer }]) =>
        path === '' || optional || (peer && !installed[path]) || installed[path]?.version === version,
    )
  );
}

function packagesOf(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

async function installDependencies() {
  // The tools of the build are among the development dependencies, which a NODE_ENV or npm setting of the user may leave out.
  // No package's install script is needed or run: the embedded PostgreSQL's links are made when it starts.
  const args = [
    'ci',
    '--include=dev',
    '--include=optional',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ];
  const npm = process.env.npm_execpath ?? '';
  const [command, first] = /npm-cli\.c?js$/.test(basename(npm)) ? [process.execPath, [npm]] : ['npm', []];
  await step('installing dependencies (npm ci)', () =>
    run(command, [...first, ...args], { cwd: ROOT, env: { ...process.env, NODE_ENV: 'development' } }),
  );
}

async function buildAll() {
  const stamp = sourceHash();
  await step('building', async () => {
    const nest = join(ROOT, 'node_modules', '@nestjs', 'cli', 'bin', 'nest.js');
    await run(process.execPath, [nest, 'build'], { cwd: ROOT });
    await run(process.execPath, [join(ROOT, 'dist', 'scripts', 'bundle-workflows.js')], { cwd: ROOT });
    writeFileSync(BUILD_STAMP, stamp);
  });
}

function isBuilt() {
  return existsSync(BUILD_STAMP) && readFileSync(BUILD_STAMP, 'utf8') === sourceHash();
}

/** By content: a checkout of another branch and back changes times, and a copied clone has new ones. */
function sourceHash() {
  const hash = createHash('sha256');
  const add = (path) =>
    hash.update(relative(ROOT, path)).update('\0').update(readFileSync(path)).update('\0');
  for (const name of BUILD_FILES) add(join(ROOT, name));
  for (const folder of SOURCES) {
    if (!existsSync(join(ROOT, folder))) continue;
    const files = readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.test.ts'))
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
    for (const path of files.sort()) add(path);
  }
  return hash.digest('hex');
}

/** Two starts at the same time in one clone must not install or build over each other. */
async function alone(work) {
  const lock = join(
    tmpdir(),
    `posthorn-setup-${createHash('sha256').update(ROOT).digest('hex').slice(0, 16)}.lock`,
  );
  const release = await acquire(lock);
  process.once('exit', release);
  try {
    return await work();
  } finally {
    release();
    process.off('exit', release);
  }
}

async function acquire(lock) {
  const draft = `${lock}.${randomUUID()}`;
  writeFileSync(draft, String(process.pid));
  try {
    for (let said = false; ;) {
      try {
        linkSync(draft, lock);
        return () => rmSync(lock, { force: true });
      } catch (error) {
        if (error.code !== 'EEXIST') throw error;
      }
      const holder = Number(readIfThere(lock));
      if (!isAlive(holder)) {
        discard(lock, holder);
        continue;
      }
      if (!said) say(`… waiting for process ${holder}, which is setting up this clone (${lock})`);
      said = true;
      await sleep(LOCK_POLL_MS);
    }
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Renamed first, and looked at again: another process may have taken the lock over in between. */
function discard(lock, holder) {
  const aside = `${lock}.${randomUUID()}`;
  try {
    renameSync(lock, aside);
    if (Number(readIfThere(aside)) !== holder) linkSync(aside, lock);
  } catch (error) {
    // Someone else was faster. Anything else would come again at every try: the lock of another user, who alone may remove it.
    if (error.code !== 'ENOENT' && error.code !== 'EEXIST') {
      throw new Error(
        `${lock} is left of a set-up that was cut off, and cannot be removed: ${error.message}`,
      );
    }
  }
  rmSync(aside, { force: true });
}

function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function isAlive(pid) {
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await setUp();
