import { Floor } from './floor/floor.js';
import { Generator } from './load/generator.js';
import { type Lane, Posthorn } from './posthorn.js';
import type { Options } from './options.js';
import { Resources } from './processes/resources.js';
import { Receiver } from './receiver/receiver.js';
import { openServers, type Servers } from './servers.js';

/** Told what is going on, line by line. */
export type Progress = (line: string) => void;

/** What a scenario works with. */
export interface World {
  servers: Servers;
  receiver: Receiver;
  generator: Generator;
  openGenerator(): Promise<Generator>;
  /**
   * Each with a database and a task queue of its own.
   *
   * @param settings that differ from those of `npm start`, by the names of their environment variables
   */
  openPosthorn(lane: Lane, settings?: Record<string, string>): Promise<Posthorn>;
  /** One more process of the same system. */
  openBeside(posthorn: Posthorn): Promise<Posthorn>;
  openFloor(): Promise<Floor>;
}

/** Opens what scenarios work with, and sees that nothing of it stays. */
export class Bench {
  /** In words, for the report. */
  serversKind = '';

  constructor(
    readonly options: Options,
    readonly progress: Progress,
    private readonly interrupted: Promise<never>,
  ) {}

  /** Servers, receiver and load generator for one piece of work, which nothing earlier has left its traces on. */
  async inWorld<T>(work: (world: World) => Promise<T>): Promise<T> {
    const resources = new Resources();
    try {
      const world = await this.open(resources);
      return await Promise.race([work(world), this.interrupted]);
    } finally {
      await resources.close();
    }
  }

  private async open(resources: Resources): Promise<World> {
    const servers = resources.keep(await openServers(process.env, this.options.temporal, this.progress));
    this.serversKind = servers.kind;
    const receiver = resources.keep(await Receiver.open());
    const openGenerator = async () => resources.keep(await Generator.open(this.options.client));
    return {
      servers,
      receiver,
      generator: await openGenerator(),
      openGenerator,
      openPosthorn: async (lane, settings = {}) => {
        this.progress(`starting Posthorn, ${lane}`);
        const apart = this.options.roles === 'apart';
        const posthorn = resources.keep(
          await Posthorn.spawn(servers, lane, apart ? 'api' : 'api,worker', settings),
        );
        await posthorn.ready();
        if (apart) {
          posthorn.worker = resources.keep(await posthorn.spawnBeside(servers, 'worker'));
          await posthorn.worker.ready();
        }
        return posthorn;
      },
      openBeside: async (first) => {
        this.progress(`starting another process of it`);
        const posthorn = resources.keep(await first.spawnBeside(servers, 'api,worker'));
        await posthorn.ready();
        return posthorn;
      },
      openFloor: async () => {
        this.progress('starting the floor');
        const { temporalAddress, namespace } = servers;
        const receiverUrl = `${receiver.origin}/floor`;
        const { payloadBytes } = this.options;
        return resources.keep(await Floor.open({ temporalAddress, namespace, receiverUrl, payloadBytes }));
      },
    };
  }
}
