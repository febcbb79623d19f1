import type { Begun } from '../load/load.js';
import { Subprocess } from '../processes/subprocess.js';
import type { FloorCommands, FloorOptions } from './floor-process.js';

/** The bare workflow, in a process of its own. */
export class Floor {
  private constructor(private readonly process: Subprocess<FloorCommands>) {}

  static async open(options: FloorOptions): Promise<Floor> {
    return new Floor(
      await Subprocess.start<FloorCommands>(new URL('./floor-process.js', import.meta.url), options),
    );
  }

  get pid(): number {
    return this.process.pid;
  }

  flood(calls: number, publishers: number): Promise<Begun> {
    return this.process.call('flood', { calls, publishers });
  }

  pace(calls: number, perSecond: number): Promise<Begun> {
    return this.process.call('pace', { calls, perSecond });
  }

  async close(): Promise<void> {
    await this.process.call('stop', undefined);
    await this.process.close();
  }
}
