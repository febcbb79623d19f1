import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';

const run = promisify(execFile);
const POLL_MS = 25;

/** Signals from the politest on, each with the time in ms that it is given. */
export type StopSignals = readonly (readonly [signal: NodeJS.Signals, graceMs: number])[];

/**
 * Says which process a number means: numbers are used again, this with its start time is not.
 *
 * @returns undefined when there is no such process, or only its zombie
 */
export async function processIdentity(pid: number): Promise<string | undefined> {
  if (process.platform === 'linux') return linuxIdentity(pid);
  try {
    const { stdout } = await run('ps', ['-o', 'stat=,lstart=', '-p', String(pid)]);
    const [state = 'Z', ...started] = stdout.trim().split(/\s+/);
    return state.startsWith('Z') ? undefined : started.join(' ');
  } catch {
    return undefined;
  }
}

async function linuxIdentity(pid: number): Promise<string | undefined> {
  try {
    const [stat, boot] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => ''),
    ]);
    // The command's name, in parentheses, may have anything in it: the fields are counted from behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    return state === 'Z' || state === 'X' ? undefined : `${boot.trim()}:${fields[19] ?? ''}`;
  } catch {
    return undefined;
  }
}

export async function isRunning(pid: number): Promise<boolean> {
  return (await processIdentity(pid)) !== undefined;
}

/** Running processes whose command line, word by word, satisfies `matches`. */
export async function findProcesses(matches: (args: string[]) => boolean): Promise<number[]> {
  const found: number[] = [];
  if (process.platform === 'linux') {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    for (const pid of pids) {
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      if (line !== '' && matches(line.replace(/\0$/, '').split('\0'))) found.push(Number(pid));
    }
    return found;
  }
  // `ps` joins the words by blanks, so a folder with blanks in its name is not found here.
  const { stdout } = await run('ps', ['-axww', '-o', 'pid=,command='], { maxBuffer: 64 * 1024 * 1024 });
  for (const line of stdout.split('\n')) {
    const [pid, ...args] = line.trim().split(/\s+/);
    if (pid && matches(args)) found.push(Number(pid));
  }
  return found;
}

/** Sends one signal after the other until the process is gone. */
export async function endProcess(pid: number, signals: StopSignals): Promise<void> {
  const identity = await processIdentity(pid);
  for (const [signal, graceMs] of signals) {
    if (identity === undefined || (await processIdentity(pid)) !== identity) return;
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    const deadline = Date.now() + graceMs;
    while (Date.now() < deadline && (await processIdentity(pid)) === identity) await sleep(POLL_MS);
  }
}
