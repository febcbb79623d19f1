import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/common/version.js';
import { type Embedded, startEmbedded } from '../../src/embedded/index.js';
import { freePort } from '../../src/embedded/ports.js';
import { KeyRing } from '../../src/secrets/key-ring.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';
import { Api } from './api.js';
import { PosthornServer } from './posthorn-server.js';
import { freezeTree, killTree } from './process-tree.js';
import { SmallDisk } from './small-disk.js';

export const MEMBERS = ['api', 'worker', 'temporal', 'postgres'] as const;
/** What can be killed or frozen. There are two workers; this is the first. */
export type Member = (typeof MEMBERS)[number];

export interface ClusterOptions {
  lane: string;
  /** Puts the database on a disk of this size, to be filled. */
  diskMegabytes?: number;
}

const READY_WITHIN_MS = 120_000;
const READY_EVERY_MS = 200;
const NODES = [
  ['api', 'api'],
  ['worker-1', 'worker'],
  ['worker-2', 'worker'],
] as const;

/** A whole system in processes of its own: one API and two workers over one PostgreSQL and one Temporal. */
export class Cluster {
  /** What the processes did that nobody asked for. */
  readonly troubles: string[] = [];
  private posthorns: PosthornServer[] = [];
  private postgres: Embedded | undefined;
  private temporal: Embedded | undefined;
  private opened: Api | undefined;
  private mounted: SmallDisk | undefined;
  /** Of Temporal's Web UI, over its restarts. */
  private uiPort: number | undefined;

  private constructor(
    /** Holds all that belongs to it, logs included. */
    readonly folder: string,
  ) {}

  /** @throws NotPossibleHere when the machine cannot give what `options` ask for */
  static async start(options: ClusterOptions, onMade: (cluster: Cluster) => void): Promise<Cluster> {
    const folder = await mkdtemp(join(tmpdir(), 'posthorn-chaos-'));
    // PostgreSQL may run as another user, who must get through.
    await chmod(folder, 0o755);
    const cluster = new Cluster(folder);
    onMade(cluster);
    try {
      await cluster.open(options);
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  get api(): Api {
    return must(this.opened);
  }

  get temporalAddress(): string {
    return must(this.temporal?.temporalAddress);
  }

  get databaseUrl(): string {
    return must(this.postgres?.databaseUrl);
  }

  /** The disk that the database is on, where one was asked for. */
  get disk(): SmallDisk {
    return must(this.mounted);
  }

  /** The lines between Posthorn's processes and the servers, the lines of one process together. */
  get lines(): TcpProxy[][] {
    return this.posthorns.map(({ lines }) => [lines.database, lines.temporal]);
  }

  /** Ends it with SIGKILL; its supervisor starts it again. */
  async kill(member: Member): Promise<void> {
    await killTree(must(this.pidOf(member)));
  }

  /** Stops it with SIGSTOP, until it is thawed. */
  freeze(member: Member): Promise<{ thaw: () => Promise<void> }> {
    return freezeTree(must(this.pidOf(member)));
  }

  /** Resolves when every process answers, and all that it depends on. */
  async ready(): Promise<void> {
    const allReady = async () =>
      (await Promise.all(this.posthorns.map((each) => each.isReady()))).every(Boolean);
    await until(allReady, (ready) => ready, READY_WITHIN_MS, READY_EVERY_MS);
  }

  /** Resolves when the process that had this number is gone and its successor has one. */
  async isRestarted(member: Member, pidBefore: number | undefined): Promise<void> {
    await until(
      () => this.pidOf(member),
      (pid) => pid !== undefined && pid !== pidBefore,
    );
  }

  pidOf(member: Member): number | undefined {
    switch (member) {
      case 'api':
        return this.posthorns[0]?.pid;
      case 'worker':
        return this.posthorns[1]?.pid;
      case 'temporal':
        return this.temporal?.pids()[0];
      case 'postgres':
        return this.postgres?.pids()[0];
    }
  }

  /** Puts what was built in another folder in the place of each process, one after the other. */
  async deploy(build: string): Promise<void> {
    for (const posthorn of this.posthorns) await posthorn.replaceBy(build);
  }

  /** Stops Temporal and starts it with nothing of what it knew. */
  async deleteTemporalDatabase(): Promise<void> {
    await this.temporal?.stop();
    await rm(join(this.folder, 'temporal', 'temporal'), { recursive: true });
    this.temporal = await this.startServers('temporal');
  }

  /** Everything, data included. */
  async close(options: { keepLogs?: boolean } = {}): Promise<void> {
    await Promise.all(this.posthorns.map((posthorn) => posthorn.close()));
    await Promise.all([this.temporal?.stop(), this.postgres?.stop()]);
    await this.mounted?.unmount();
    const emptied = options.keepLogs === true ? [join(this.folder, 'postgres', 'postgres')] : [this.folder];
    for (const path of emptied) await rm(path, { recursive: true, force: true });
  }

  /** At once and synchronously, for Ctrl-C. */
  kill9(): void {
    for (const posthorn of this.posthorns) posthorn.kill();
    this.temporal?.kill();
    this.postgres?.kill();
    try {
      rmSync(this.folder, { recursive: true, force: true });
    } catch {
      // A server that is just ending has made another file, or a disk is mounted in there until we are gone.
    }
  }

  private async open({ lane, diskMegabytes }: ClusterOptions): Promise<void> {
    if (diskMegabytes !== undefined) {
      this.mounted = await SmallDisk.mount(join(this.folder, 'postgres', 'postgres'), diskMegabytes);
    }
    this.uiPort = await freePort();
    [this.postgres, this.temporal] = await Promise.all([
      this.startServers('postgres'),
      this.startServers('temporal'),
    ]);
    const rootKey = `phk_${randomBytes(32).toString('base64url')}`;
    const env = {
      POSTHORN_ROOT_KEY: rootKey,
      POSTHORN_ENCRYPTION_KEYS: KeyRing.generate(),
      POSTHORN_LANE: lane,
    };
    const ports = new Set<number>();
    while (ports.size < NODES.length) ports.add(await freePort(ports));
    const [apiPort = 0] = ports;
    this.posthorns = await Promise.all(
      [...ports].map((port, index) => {
        const [name, roles] = must(NODES[index]);
        return PosthornServer.start({
          name,
          roles,
          port,
          build: PROJECT_ROOT,
          databaseUrl: this.databaseUrl,
          temporalAddress: this.temporalAddress,
          env,
          logs: this.folder,
          onTrouble: (what) => this.troubles.push(what),
        });
      }),
    );
    this.opened = new Api(`http://127.0.0.1:${apiPort}`, rootKey);
    await this.ready();
  }

  /** Each in a data folder of its own, so that one can be stopped without the other. */
  private async startServers(which: 'postgres' | 'temporal'): Promise<Embedded> {
    const dataDir = join(this.folder, which);
    await mkdir(dataDir, { recursive: true });
    return startEmbedded({
      dataDir,
      postgres: which === 'postgres',
      temporal: which === 'temporal',
      temporalUiPort: which === 'temporal' ? this.uiPort : undefined,
      // Whoever connects registers them, and whoever finds them lost.
      searchAttributes: {},
      progress: () => undefined,
    });
  }
}

function must<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error('the cluster is not up');
  return value;
}
