import { readFile, rename, writeFile } from 'node:fs/promises';
import { freePort, isPortFree } from './ports.js';

/** Ports that a folder's servers had, by name; so they have them again after a restart. */
export class PortMemory {
  private queue: Promise<unknown> = Promise.resolve();
  private readonly reserved = new Set<number>();

  private constructor(
    private readonly path: string,
    private readonly ports: Record<string, number>,
  ) {}

  static async load(path: string): Promise<PortMemory> {
    let ports: Record<string, number> = {};
    try {
      ports = JSON.parse(await readFile(path, 'utf8')) as Record<string, number>;
    } catch {
      // None yet, or a file cut short by a crash: new ports are as good.
    }
    return new PortMemory(path, ports);
  }

  /** Nobody is given this one: somebody asks for it by its number. */
  reserve(port: number): void {
    this.reserved.add(port);
  }

  /** `preferred`, if it is free; otherwise the remembered port, if that is free; otherwise a new one. */
  async take(name: string, preferred?: number): Promise<number> {
    // One after the other: servers that start at the same time must not be given the same port.
    const taken = this.queue.then(() => this.choose(name, preferred));
    this.queue = taken.catch(() => undefined);
    return taken;
  }

  private async choose(name: string, preferred: number | undefined): Promise<number> {
    const remembered = Object.entries(this.ports).flatMap(([key, port]) => (key === name ? [] : [port]));
    const others = new Set([...remembered, ...this.reserved]);
    for (const port of [preferred, this.ports[name]]) {
      if (port !== undefined && !others.has(port) && (await isPortFree(port)))
        return this.remember(name, port);
    }
    return this.remember(name, await freePort(others));
  }

  private async remember(name: string, port: number): Promise<number> {
    if (this.ports[name] === port) return port;
    this.ports[name] = port;
    await writeFile(`${this.path}.new`, JSON.stringify(this.ports, null, 2), { mode: 0o600 });
    await rename(`${this.path}.new`, this.path);
    return port;
  }
}
