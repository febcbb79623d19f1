import { EmbeddedError } from './embedded-error.js';
import { runCommand } from './long-step.js';

export interface OsUser {
  name: string;
  uid: number;
  gid: number;
}

const TIMEOUT_MS = 20_000;
const NAMES = process.platform === 'darwin' ? ['postgres', '_postgres'] : ['postgres'];

/**
 * PostgreSQL refuses to run as root. Where we are root it runs as this user, who is made if there is none.
 *
 * @returns undefined when we are not root
 * @throws EmbeddedError `postgres_user_missing`
 */
export async function postgresUser(): Promise<OsUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const existing = await lookUp();
  if (existing) return existing;
  const reasons: string[] = [];
  for (const [command, args] of [
    [
      'useradd',
      [
        '--system',
        '--user-group',
        '--no-create-home',
        '--home-dir',
        '/nonexistent',
        '--shell',
        '/bin/false',
        'postgres',
      ],
    ],
    ['adduser', ['-S', '-D', '-H', '-h', '/nonexistent', '-s', '/bin/false', 'postgres']],
  ] as const) {
    try {
      await runCommand(command, args, { timeoutMs: TIMEOUT_MS, env: withSystemPath() });
    } catch (error) {
      reasons.push(`${command}: ${(error as Error).message}`);
    }
    const made = await lookUp();
    if (made) return made;
  }
  throw new EmbeddedError(
    'postgres_user_missing',
    `PostgreSQL does not run as root, and the user 'postgres' for it does not exist and could not be made (${reasons.join('; ')}). Run Posthorn as another user than root, make that user ('useradd --system postgres'), or set POSTHORN_DATABASE_URL to a PostgreSQL of your own`,
  );
}

async function lookUp(): Promise<OsUser | undefined> {
  for (const name of NAMES) {
    try {
      const options = { timeoutMs: TIMEOUT_MS, env: withSystemPath() };
      const [uid, gid] = await Promise.all([
        runCommand('id', ['-u', name], options),
        runCommand('id', ['-g', name], options),
      ]);
      return { name, uid: Number(uid), gid: Number(gid) };
    } catch {
      continue;
    }
  }
  return undefined;
}

const withSystemPath = (): NodeJS.ProcessEnv => ({
  ...process.env,
  PATH: `${process.env.PATH ?? ''}:/usr/sbin:/usr/bin:/sbin:/bin`,
});

/** True when the user can go to the folder and every further path can be read there: tried, since mode bits are not all that counts. */
export async function canReach(
  user: OsUser,
  folder: string,
  readable: readonly string[] = [],
): Promise<boolean> {
  const script = 'cd "$0" || exit 1; for path; do test -r "$path" || exit 1; done';
  try {
    const { uid, gid } = user;
    await runCommand('/bin/sh', ['-c', script, folder, ...readable], {
      uid,
      gid,
      cwd: '/',
      timeoutMs: TIMEOUT_MS,
    });
    return true;
  } catch {
    return false;
  }
}
