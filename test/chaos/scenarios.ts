import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import { until } from '../support/until.js';
import { type Cluster, type Member, MEMBERS } from './cluster.js';
import { makeNextBuild, PATCH } from './next-build.js';
import type { Publisher } from './publisher.js';

/** What a scenario has to work with; events are published all the while. */
export interface Stage {
  cluster: Cluster;
  publisher: Publisher;
  /** How long what is frozen, stalled or slow stays so. */
  spellMs: number;
  /** How often what is killed or cut is. */
  rounds: number;
}

export interface Scenario {
  name: string;
  /** What it does, for the table. */
  what: string;
  /** Whether an event may arrive twice: only where an attempt may be cut off between sending and recording. */
  duplicates: 'none' | 'allowed';
  /** Part of the short form too. */
  short?: boolean;
  diskMegabytes?: number;
  /** Does it, and resolves when it is over: not when everything has recovered. */
  run(stage: Stage): Promise<void>;
}

const BETWEEN_ROUNDS = 20;
const LATENCY_MS = 100;
const DISK_MEGABYTES = 320;

const TITLES: Record<Member, string> = {
  api: 'the API',
  worker: 'a worker of two',
  temporal: 'Temporal',
  postgres: 'PostgreSQL',
};

export const SCENARIOS: Scenario[] = [
  {
    name: 'control',
    what: 'nothing happens',
    duplicates: 'none',
    short: true,
    run: ({ publisher }) => publisher.accepts(100),
  },
  killing('api', 'none'),
  killing('worker', 'allowed'),
  killing('temporal', 'allowed'),
  killing('postgres', 'allowed'),
  {
    name: 'kill-all',
    what: 'kill -9 of API, worker, Temporal and PostgreSQL at once',
    duplicates: 'allowed',
    short: true,
    run: (stage) => killRepeatedly(stage, MEMBERS),
  },
  freezing('api', 'none'),
  freezing('worker', 'allowed'),
  freezing('temporal', 'allowed'),
  { ...freezing('postgres', 'allowed'), short: true },
  {
    name: 'cut-lines',
    what: "connections of one process after the other cut, then everyone's",
    duplicates: 'allowed',
    short: true,
    async run({ cluster, publisher, rounds }) {
      const { lines } = cluster;
      for (const cut of [...lines, ...Array.from({ length: rounds }, () => lines.flat())]) {
        for (const line of cut) line.cut();
        await wait(2_000);
        for (const line of cut) line.mend();
        await publisher.accepts(BETWEEN_ROUNDS);
      }
    },
  },
  {
    name: 'slow-lines',
    what: `${LATENCY_MS} ms of latency each way between the processes and both servers`,
    duplicates: 'allowed',
    async run({ cluster, spellMs }) {
      for (const line of cluster.lines.flat()) line.slow(LATENCY_MS);
      await wait(spellMs);
      for (const line of cluster.lines.flat()) line.mend();
    },
  },
  {
    name: 'stalled-lines',
    what: 'connections to both servers stay open and nothing passes',
    duplicates: 'allowed',
    async run({ cluster, spellMs }) {
      for (const line of cluster.lines.flat()) line.stall();
      await wait(spellMs);
      for (const line of cluster.lines.flat()) line.mend();
    },
  },
  {
    name: 'abandoned-lines',
    what: 'every connection to both servers goes silent for good; new ones work',
    duplicates: 'allowed',
    run({ cluster }) {
      for (const line of cluster.lines.flat()) line.abandon();
      return Promise.resolve();
    },
  },
  {
    name: 'full-disk',
    what: "PostgreSQL's disk is full, until space is freed",
    duplicates: 'allowed',
    short: true,
    diskMegabytes: DISK_MEGABYTES,
    async run({ cluster, publisher, spellMs }) {
      const refused = publisher.isRefused();
      await cluster.disk.fill();
      await askForAnotherWalSegment(cluster.databaseUrl);
      await refused;
      await wait(spellMs);
      await cluster.disk.free();
    },
  },
  {
    name: 'lost-temporal',
    what: "Temporal's database deleted",
    duplicates: 'allowed',
    short: true,
    run: ({ cluster }) => cluster.deleteTemporalDatabase(),
  },
  {
    name: 'deploy',
    what: 'rolling deployment of a patched workflow while deliveries are in backoff',
    duplicates: 'none',
    short: true,
    async run({ cluster, publisher }) {
      const next = join(cluster.folder, 'next');
      await makeNextBuild(next);
      await cluster.deploy(next);
      await publisher.accepts(BETWEEN_ROUNDS);
      await patchedDeliveriesRan(cluster.temporalAddress);
    },
  },
];

function killing(member: Member, duplicates: Scenario['duplicates']): Scenario {
  return {
    name: `kill-${member}`,
    what: `kill -9 of ${TITLES[member]}`,
    duplicates,
    run: (stage) => killRepeatedly(stage, [member]),
  };
}

function freezing(member: Member, duplicates: Scenario['duplicates']): Scenario {
  return {
    name: `freeze-${member}`,
    what: `SIGSTOP of ${TITLES[member]}`,
    duplicates,
    async run({ cluster, spellMs }) {
      const { thaw } = await cluster.freeze(member);
      await wait(spellMs);
      await thaw();
    },
  };
}

async function killRepeatedly(
  { cluster, publisher, rounds }: Stage,
  members: readonly Member[],
): Promise<void> {
  for (let round = 1; ; round += 1) {
    const before = members.map((member) => [member, cluster.pidOf(member)] as const);
    await Promise.all(members.map((member) => cluster.kill(member)));
    if (round === rounds) return;
    for (const [member, pid] of before) await cluster.isRestarted(member, pid);
    await cluster.ready();
    await publisher.accepts(BETWEEN_ROUNDS);
  }
}

/** Makes sure that a commit meets the full disk soon. */
async function askForAnotherWalSegment(databaseUrl: string): Promise<void> {
  const client = new pg.Client(databaseUrl);
  client.on('error', () => undefined);
  await client.connect();
  await client.query('SELECT pg_switch_wal()').catch(() => undefined);
  await client.end().catch(() => undefined);
}

/** Proves that what was deployed is what runs. */
async function patchedDeliveriesRan(address: string): Promise<void> {
  const connection = await Connection.connect({ address });
  try {
    const { workflow } = new Client({ connection });
    await until(
      async () => (await workflow.count(`TemporalChangeVersion = '${PATCH}'`)).count,
      (count) => count > 0,
    );
  } finally {
    await connection.close();
  }
}
