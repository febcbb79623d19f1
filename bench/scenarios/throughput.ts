import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench, World } from '../bench.js';
import { cpuMs } from '../processes/usage.js';
import { atLeast, cell, type Report, type Target } from '../report.js';
import { openSides, type Side, type SideName } from '../sides.js';
import { largest, median, ratios, round, smallest } from '../statistics.js';

const PARTS = [
  'process',
  'worker',
  'temporal',
  'temporalStore',
  'postgres',
  'generator',
  'receiver',
] as const;
/** Milliseconds of CPU; a part that is not ours to see is missing. */
type Cpu = Partial<Record<(typeof PARTS)[number], number>>;

const WARM_UP = 300;
/** How many times as many deliveries the quicker sides have: theirs would be over before they have begun. */
const TIMES: Record<SideName, number> = { direct: 50, floor: 1, durable: 1, express: 10, auto: 10 };
/** Lets the servers write down what the last slice left behind. */
const REST_MS = 1_000;

interface Slice {
  perSec: number;
  cpu: Cpu;
  /** KiB that a delivery left in Posthorn's database, and wrote to its log; of Posthorn alone. */
  written?: { tables: number; log: number } | undefined;
}

/** How many deliveries arrive in a second when as much is published as is taken, and what CPU each costs. */
export async function throughput(bench: Bench): Promise<Report> {
  const { slices: sliceCount, events } = bench.options;
  return bench.inWorld(async (world) => {
    const sides = await openSides(bench, world);
    const perSlice = Math.ceil(events / sliceCount);
    const measured = sides.map((side) => ({ side, slices: [] as Slice[] }));
    for (const side of sides) {
      bench.progress(`warming up ${side.name}`);
      await flooded(world, side, WARM_UP * factor(side.name));
    }
    for (let turn = 1; turn <= sliceCount; turn += 1) {
      for (const { side, slices } of measured) {
        const slice = await measureSlice(world, side, perSlice * factor(side.name));
        slices.push(slice);
        bench.progress(`slice ${turn}/${sliceCount}: ${side.name} ${slice.perSec.toFixed(1)}/s`);
      }
    }
    return report(await Promise.all(measured.map((one) => summary(one, perSlice * sliceCount))));
  });
}

/** @returns deliveries that arrived a second, from the first one begun to the last one received */
export async function flooded(
  { receiver }: World,
  side: Pick<Side, 'flood'>,
  events: number,
): Promise<number> {
  const begun = await side.flood(events);
  const arrivedAt = await receiver.collectAll(begun.ids);
  return (begun.ids.length * 1000) / (largest(arrivedAt) - smallest(begun.atMs));
}

export const factor = (side: SideName): number => TIMES[side];

async function measureSlice(world: World, side: Side, events: number): Promise<Slice> {
  const [before, sizeBefore] = [readCpu(world, side), await side.posthorn?.databaseSize()];
  const perSec = await flooded(world, side, events);
  // What is written after the last arrival belongs to these deliveries too.
  await sleep(REST_MS);
  const [after, sizeAfter] = [readCpu(world, side), await side.posthorn?.databaseSize()];
  const cpu: Cpu = {};
  for (const part of PARTS) {
    const [from, to] = [before[part], after[part]];
    if (from !== undefined && to !== undefined) cpu[part] = (to - from) / events;
  }
  const written = sizeBefore &&
    sizeAfter && {
      tables: (sizeAfter.tables - sizeBefore.tables) / 1024 / events,
      log: (sizeAfter.log - sizeBefore.log) / 1024 / events,
    };
  return { perSec, cpu, written };
}

function readCpu({ servers, generator, receiver }: World, side: Side): Cpu {
  const pids = {
    ...servers.pids,
    process: side.pid,
    worker: side.posthorn?.worker?.pid,
    generator: generator.pid,
    receiver: receiver.pid,
  };
  const cpu: Cpu = {};
  for (const part of PARTS) {
    const used = pids[part] === undefined ? undefined : cpuMs(pids[part]);
    if (used !== undefined) cpu[part] = used;
  }
  return cpu;
}

async function summary({ side, slices }: { side: Side; slices: Slice[] }, events: number) {
  const cpuMsPerDelivery: Cpu = {};
  for (const part of PARTS) {
    const values = slices.map(({ cpu }) => cpu[part]).filter((value) => value !== undefined);
    if (values.length > 0) cpuMsPerDelivery[part] = round(median(values), 3);
  }
  const slicesPerSec = slices.map(({ perSec }) => round(perSec, 1));
  const written = slices.flatMap((slice) => slice.written ?? []);
  return {
    side: side.name,
    title: side.title,
    deliveries: events * factor(side.name),
    perSec: median(slicesPerSec),
    slicesPerSec,
    cpuMsPerDelivery,
    ...(written.length > 0 && {
      writtenKiB: {
        tables: round(median(written.map(({ tables }) => tables)), 2),
        log: round(median(written.map(({ log }) => log)), 2),
      },
    }),
    firstAttempts: await side.posthorn?.firstAttempts(),
  };
}

type Summary = Awaited<ReturnType<typeof summary>>;

function report(measured: Summary[]): Report {
  const of = (name: SideName) => measured.find(({ side }) => side === name);
  const compared = (name: SideName, base: SideName) =>
    ratios(of(name)?.slicesPerSec ?? [], of(base)?.slicesPerSec ?? []);
  const notes = [
    'Medians of slices. CPU is milliseconds for each delivery. The floor is its own load generator.',
    "Tables and log: what a delivery leaves in Posthorn's database, and writes to PostgreSQL's write-ahead log.",
  ];
  const targets: Target[] = [];
  const compare = (name: SideName, base: SideName, bound: number) => {
    if (!of(name) || !of(base)) return;
    const slices = compared(name, base);
    notes.push(`${name} / ${base} by slice: ${slices.map((value) => value.toFixed(2)).join(', ')}`);
    targets.push(atLeast(`${name} / ${base}`, median(slices), bound));
  };
  compare('durable', 'floor', 0.85);
  compare('express', 'direct', 0.27);
  compare('auto', 'express', 0.9);
  return {
    columns: [
      'sustained load',
      'deliveries',
      'a second',
      'of direct',
      'of floor',
      'first attempts durable/express',
      ...PARTS.map((part) => `CPU ${part}`),
      'total',
      'KiB in tables',
      'KiB in the log',
    ],
    rows: measured.map(
      ({ side, title, deliveries, perSec, cpuMsPerDelivery: cpu, firstAttempts, writtenKiB }) => [
        title,
        String(deliveries),
        cell(perSec),
        cell(median(compared(side, 'direct')), 3),
        cell(median(compared(side, 'floor')), 2),
        firstAttempts ? `${firstAttempts.durable}/${firstAttempts.express}` : '–',
        ...PARTS.map((part) => cell(cpu[part], 2)),
        cell(
          PARTS.reduce((sum, part) => sum + (cpu[part] ?? 0), 0),
          2,
        ),
        cell(writtenKiB?.tables, 2),
        cell(writtenKiB?.log, 2),
      ],
    ),
    notes,
    targets,
    figures: measured,
  };
}
