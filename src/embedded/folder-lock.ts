import { createHash, randomUUID } from 'node:crypto';
import { unlinkSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processIdentity } from './processes.js';

/** How long a holder that is alive is waited for, since it may be dying. */
const PATIENCE_MS = 1_000;
/** How long a process that has not chosen its number yet is waited for: it takes it a moment, unless it was stopped. */
const CHOOSING_MS = 10_000;
const LOOK_AGAIN_MS = 20;

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
 * Takes a folder for this process, by Lamport's bakery algorithm ("A New Solution of Dijkstra's Concurrent Programming
 * Problem", 1974) with files for its variables: each takes a number above all it sees, and the lowest holds the folder. So one
 * of many always gets it, however slow the disk is. A file's name says whose it is. Files of processes that are gone do not
 * count: their names cannot come back, so anyone may remove them.
 *
 * @throws FolderLockedError when a living process, this one included, holds it
 */
export async function lockFolder(folder: string, patienceMs = PATIENCE_MS): Promise<FolderLock> {
  const self = `${process.pid}-${await fingerprint(process.pid)}-${randomUUID()}`;
  const choosing = join(folder, `choosing-${self}`);
  let own: Ticket;
  let path: string;
  try {
    await writeFile(choosing, '', { mode: 0o600 });
    const tickets = (await readdir(folder)).flatMap((name) => parseTicket(name) ?? []);
    own = { number: Math.max(0, ...tickets.map(({ number }) => number)) + 1, id: self };
    path = join(folder, `lock-${own.number}-${self}`);
    await writeFile(path, '', { mode: 0o600 });
  } finally {
    await rm(choosing, { force: true });
  }

  const since = Date.now();
  for (;;) {
    const before = await livingBefore(folder, own);
    if (before === undefined) break;
    if (Date.now() - since > (before.choosing ? Math.max(CHOOSING_MS, patienceMs) : patienceMs)) {
      await rm(path, { force: true });
      throw new FolderLockedError(folder, before.pid);
    }
    await sleep(LOOK_AGAIN_MS);
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

interface Ticket {
  number: number;
  id: string;
}

function parseTicket(name: string): Ticket | undefined {
  const [, number, id] = /^lock-(\d+)-(.+)$/.exec(name) ?? [];
  return id === undefined ? undefined : { number: Number(number), id };
}

/** A living process that holds the folder or may come to hold it before the one with `own`. Removes what dead ones left. */
async function livingBefore(
  folder: string,
  own: Ticket,
): Promise<{ pid: number; choosing: boolean } | undefined> {
  for (const name of await readdir(folder)) {
    const ticket = parseTicket(name);
    const [, pid, identity] = /^(?:choosing|lock-\d+)-(\d+)-([0-9a-f]+)-/.exec(name) ?? [];
    if (pid === undefined || ticket?.id === own.id) continue;
    if ((await fingerprint(Number(pid))) !== identity) await rm(join(folder, name), { force: true });
    else if (ticket === undefined || comesBefore(ticket, own))
      return { pid: Number(pid), choosing: ticket === undefined };
  }
  return undefined;
}

function comesBefore(one: Ticket, other: Ticket): boolean {
  return one.number === other.number ? one.id < other.id : one.number < other.number;
}

async function fingerprint(pid: number): Promise<string> {
  const identity = await processIdentity(pid);
  return createHash('sha256')
    .update(identity ?? randomUUID())
    .digest('hex')
    .slice(0, 12);
}
