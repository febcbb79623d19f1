import { Subprocess } from '../processes/subprocess.js';
import type { GeneratorCommands } from './generator-process.js';
import type { Begun } from './load.js';
import type { Client, Target } from './target.js';

/** A load generator, in a process of its own. */
export class Generator {
  private constructor(
    private readonly process: Subprocess<GeneratorCommands>,
    private readonly client: Client,
  ) {}

  static async open(client: Client): Promise<Generator> {
    return new Generator(
      await Subprocess.start<GeneratorCommands>(new URL('./generator-process.js', import.meta.url)),
      client,
    );
  }

  get pid(): number {
    return this.process.pid;
  }

  /** Posts so many times, as fast as `publishers` connections can. */
  flood(target: Target, calls: number, publishers: number): Promise<Begun> {
    return this.process.call('flood', { target, client: this.client, calls, publishers });
  }

  pace(target: Target, calls: number, perSecond: number): Promise<Begun> {
    return this.process.call('pace', { target, client: this.client, calls, perSecond });
  }

  close(): Promise<void> {
    return this.process.close();
  }
}
