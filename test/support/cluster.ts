import { PosthornProcess } from './process.js';

/** Of each role. */
const PROCESSES = 2;
/** Eight processes at times share a PostgreSQL that takes 200 connections, some of them Temporal's. */
const DATABASE_POOL = '8';

/** Posthorn as several processes, each started as in production; calls of the API take turns between them. */
export class Cluster {
  private next = 0;

  private constructor(
    private readonly apis: PosthornProcess[],
    private readonly workers: PosthornProcess[],
  ) {}

  /** @param env of each process; its POSTHORN_ROLES says which roles there are to be, all when it is not set */
  static async start(env: Record<string, string>): Promise<Cluster> {
    const roles = (env.POSTHORN_ROLES ?? 'api,worker').split(',');
    const startAll = (role: string) =>
      Array.from({ length: roles.includes(role) ? PROCESSES : 0 }, () =>
        PosthornProcess.start({ POSTHORN_DATABASE_POOL: DATABASE_POOL, ...env, POSTHORN_ROLES: role }),
      );
    const apis = startAll('api');
    const started = await Promise.allSettled([...apis, ...startAll('worker')]);
    const processes = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const failed = started.find((each) => each.status === 'rejected');
    if (failed) {
      await Promise.all(processes.map((each) => each.end('SIGKILL')));
      throw failed.reason;
    }
    return new Cluster(processes.slice(0, apis.length), processes.slice(apis.length));
  }

  /** Of the API process whose turn it is. */
  get url(): string {
    const api = this.apis[this.next];
    if (!api) throw new Error('this cluster has no API');
    this.next = (this.next + 1) % this.apis.length;
    return api.url;
  }

  /** Of every process, for health and metrics. */
  get urls(): string[] {
    return this.processes.map(({ url }) => url);
  }

  /** @throws an Error with what a process printed that did not end as it should */
  async stop(): Promise<void> {
    await Promise.all(
      this.processes.map(async (each) => {
        const code = await each.end('SIGTERM');
        if (code !== 0) throw new Error(`a process ended with ${code ?? 'a signal'}:\n${each.printed}`);
      }),
    );
  }

  private get processes(): PosthornProcess[] {
    return [...this.apis, ...this.workers];
  }
}
