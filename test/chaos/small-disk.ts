import { chmod, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PassingChange } from './passing-change.js';

/** What the scenario needs cannot be had on this machine; says what. */
export class NotPossibleHere extends Error {}

const CHUNK = Buffer.alloc(1024 * 1024);
const PAGE = Buffer.alloc(4096);

/** A disk in memory, mounted over a folder, that a test can fill. */
export class SmallDisk {
  private constructor(
    private readonly folder: string,
    private readonly mounted: PassingChange,
  ) {}

  /** @throws NotPossibleHere where nothing may be mounted */
  static async mount(folder: string, megabytes: number): Promise<SmallDisk> {
    await mkdir(folder, { recursive: true });
    try {
      // Lazily, since the database may still be using it when we are gone.
      const mounted = await PassingChange.make(
        'mount -t tmpfs -o "size=$2m" posthorn-chaos "$1"',
        'umount -l "$1"',
        [folder, String(megabytes)],
      );
      await chmod(folder, 0o711);
      return new SmallDisk(folder, mounted);
    } catch (error) {
      throw new NotPossibleHere(`no disk can be mounted (${(error as Error).message})`, { cause: error });
    }
  }

  /** Leaves not a byte free. */
  async fill(): Promise<void> {
    const file = await open(join(this.folder, 'filler'), 'a');
    try {
      for (const chunk of [CHUNK, PAGE]) while (await written(file.write(chunk)));
    } finally {
      await file.close();
    }
  }

  async free(): Promise<void> {
    await rm(join(this.folder, 'filler'), { force: true });
  }

  async unmount(): Promise<void> {
    await this.mounted.undo();
  }
}

async function written(write: Promise<{ bytesWritten: number }>): Promise<boolean> {
  try {
    return (await write).bytesWritten > 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
    throw error;
  }
}
