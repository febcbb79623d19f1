import { readFileSync } from 'node:fs';

/** The kernel's USER_HZ, the same on every Linux that Node runs on. */
const MS_PER_TICK = 10;

/**
 * CPU that a process has used, its children included, in milliseconds.
 *
 * @returns undefined where there is no /proc, or no such process
 */
export function cpuMs(pid: number): number | undefined {
  const own = ticks(pid);
  if (!own) return undefined;
  const children = read(`/proc/${pid}/task/${pid}/children`)?.trim().split(' ') ?? [];
  const theirs = children.reduce((sum, child) => sum + (ticks(Number(child))?.self ?? 0), 0);
  return (own.self + own.ended + theirs) * MS_PER_TICK;
}

/** Memory of a process that is in RAM, in MiB; undefined where there is no /proc. */
export function residentMiB(pid: number): number | undefined {
  const kiB = /^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`) ?? '')?.[1];
  return kiB === undefined ? undefined : Number(kiB) / 1024;
}

function ticks(pid: number): { self: number; ended: number } | undefined {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The command's name, in parentheses, may have anything in it: the fields are counted from behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = fields.slice(11, 15).map(Number);
  return { self: user + system, ended: endedUser + endedSystem };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
