import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { FloorAnswer, FloorCommand, FloorOptions } from './floor-process.js';
import type { Begun } from './load.js';
import type { Side } from './side.js';

/** The bare workflow, in a process of its own. */
export class FloorSide implements Side {
  private constructor(private readonly child: ChildProcess) {}

  static async open(options: FloorOptions): Promise<FloorSide> {
    const script = fileURLToPath(new URL('./floor-process.js', import.meta.url));
    const side = new FloorSide(fork(script, [JSON.stringify(options)]));
    await side.answer();
    return side;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  flood(events: number, publishers: number): Promise<Begun> {
    return this.ask({ kind: 'flood', events, publishers });
  }

  pace(events: number, perSecond: number): Promise<Begun> {
    return this.ask({ kind: 'pace', events, perSecond });
  }

  async close(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.send({ kind: 'stop' } satisfies FloorCommand);
    await exited;
  }

  private async ask(command: FloorCommand): Promise<Begun> {
    this.child.send(command);
    return (await this.answer()) as Begun;
  }

  private answer(): Promise<FloorAnswer> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null) =>
        reject(new Error(`the floor's process ended (${code ?? 'killed'})`));
      this.child.once('exit', onExit);
      this.child.once('message', (answer: FloorAnswer) => {
        this.child.off('exit', onExit);
        resolve(answer);
      });
    });
  }
}
