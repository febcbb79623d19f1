import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { PassingChange } from './passing-change.js';

const run = promisify(execFile);

/** The processes that a process has started, and those that these have: PostgreSQL is a dozen of them. */
async function descendants(pid: number): Promise<number[]> {
  const { stdout } = await run('ps', ['-A', '-o', 'pid=,ppid=']);
  const parents = stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  const found = [pid];
  for (const parent of found) {
    for (const [child, of] of parents) if (of === parent && child !== undefined) found.push(child);
  }
  return found.slice(1);
}

/** Ends a process and all that it started with SIGKILL, as a power cut would. */
export async function killTree(pid: number): Promise<void> {
  for (const each of [pid, ...(await descendants(pid))]) {
    try {
      process.kill(each, 'SIGKILL');
    } catch {
      // It went with its parent.
    }
  }
}

/** Stops a process and all that it started, until told otherwise or until we end. */
export async function freezeTree(pid: number): Promise<{ thaw: () => Promise<void> }> {
  // The parent first: it starts nothing more while the others are looked for.
  const parent = await freeze([pid]);
  const children = await freeze(await descendants(pid));
  return {
    async thaw() {
      await children.undo();
      await parent.undo();
    },
  };
}

function freeze(pids: number[]): Promise<PassingChange> {
  // One of several may have ended by itself since it was listed.
  const each = (signal: string) => `for pid; do kill -s ${signal} "$pid" 2>&-; done; true`;
  return PassingChange.make(each('STOP'), each('CONT'), pids.map(String));
}
