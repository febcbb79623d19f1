import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** How another command finds the system that runs here. */
export interface RunningSystem {
  apiUrl: string;
  pid: number;
  webUiUrl: string | null;
  /** Of the embedded PostgreSQL. */
  databaseUrl: string;
}

/** The folder of one embedded system: generated keys, and who runs it. Secrets are readable by their owner alone. */
export class DataFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = resolve(path);
  }

  /** @returns the key and whether it was made just now */
  operatorKey(): { key: string; made: boolean } {
    return this.generated('operator-key', () => `phk_${randomBytes(32).toString('base64url')}`);
  }

  get operatorKeyFile(): string {
    return join(this.path, 'operator-key');
  }

  encryptionKeys(generate: () => string): string {
    return this.generated('encryption-keys', generate).key;
  }

  readOperatorKey(): string | null {
    return this.read('operator-key');
  }

  announce(system: RunningSystem): void {
    this.write('run.json', JSON.stringify(system));
  }

  withdraw(): void {
    rmSync(join(this.path, 'run.json'), { force: true });
  }

  /** The system that runs from this folder, or null when none does. */
  running(): RunningSystem | null {
    const text = this.read('run.json');
    if (text === null) return null;
    const system = JSON.parse(text) as RunningSystem;
    try {
      process.kill(system.pid, 0);
      return system;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EPERM' ? system : null;
    }
  }

  private generated(name: string, generate: () => string): { key: string; made: boolean } {
    const kept = this.read(name);
    if (kept !== null) return { key: kept, made: false };
    const key = generate();
    this.write(name, key);
    return { key, made: true };
  }

  private read(name: string): string | null {
    const file = join(this.path, name);
    return existsSync(file) ? readFileSync(file, 'utf8').trim() : null;
  }

  /** Renamed into place, so that a crash leaves the old file or the new one. */
  private write(name: string, text: string): void {
    mkdirSync(this.path, { recursive: true });
    const file = join(this.path, name);
    writeFileSync(`${file}.new`, `${text}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
}
