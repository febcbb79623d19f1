import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PROJECT_ROOT } from '../../src/common/version.js';
import { ended, started } from './left-over.js';

/** A receiver with a short listen queue that can be stopped: its system then takes connections until that queue is full. */
export class StoppableReceiver {
  /** Paths of the requests that it answered. */
  readonly paths: string[] = [];
  private readonly fillers: Socket[] = [];

  private constructor(
    private readonly child: ChildProcess,
    readonly port: number,
  ) {}

  static async start(backlog: number): Promise<StoppableReceiver> {
    const child = spawn(
      process.execPath,
      [join(PROJECT_ROOT, 'test', 'support', 'path-printer.mjs'), String(backlog)],
      { stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: process.env.PATH ?? '' } },
    );
    const lines = createInterface({ input: child.stdout });
    const [port] = (await once(lines, 'line')) as [string];
    const receiver = new StoppableReceiver(child, Number(port));
    lines.on('line', (path) => receiver.paths.push(path));
    started(receiver, () => receiver.end());
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Accepts nothing until {@link goOn}. */
  stop(): void {
    this.child.kill('SIGSTOP');
  }

  goOn(): void {
    this.child.kill('SIGCONT');
  }

  /** Stops it and takes every place in its queue, so that whoever comes gets no answer, as from a host that is dead. */
  async die(): Promise<void> {
    this.stop();
    for (;;) {
      const filler = connect(this.port, '127.0.0.1');
      filler.on('error', () => undefined);
      this.fillers.push(filler);
      const taken = await Promise.race([
        once(filler, 'connect').then(() => true),
        new Promise<false>((resolve) => setTimeout(() => resolve(false), 500)),
      ]);
      if (!taken) return;
    }
  }

  async end(): Promise<void> {
    ended(this);
    for (const filler of this.fillers) filler.destroy();
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGKILL');
    await once(this.child, 'exit');
  }
}
