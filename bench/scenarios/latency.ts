import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench } from '../bench.js';
import { atLeast, atMost, cell, type Report, type Target } from '../report.js';
import { openSides, type Side, type SideName } from '../sides.js';
import { type Latency, latencyOf, median, round } from '../statistics.js';
import { flooded } from './throughput.js';

export const LIGHT_PER_SECOND = 20;
const SECONDS = 20;
const WARM_UP = 200;
const COUNTED_WITHIN = { looks: 50, apartMs: 100 };

/** How long a delivery takes from POST to receipt when there is little to do. */
export async function latency(bench: Bench): Promise<Report> {
  const { slices, seconds = SECONDS } = bench.options;
  return bench.inWorld(async (world) => {
    const sides = await openSides(bench, world);
    const perSlice = Math.ceil((LIGHT_PER_SECOND * seconds) / slices);
    for (const side of sides) {
      bench.progress(`warming up ${side.name}`);
      await flooded(world, side, WARM_UP);
    }
    const warm = await Promise.all(sides.map(async (side) => firstAttemptsOf(side, WARM_UP)));
    const measured = sides.map((side) => ({ side, taken: [] as number[] }));
    for (let turn = 1; turn <= slices; turn += 1) {
      for (const { side, taken } of measured) {
        const slice = await world.receiver.latencies(await side.pace(perSlice, LIGHT_PER_SECOND));
        taken.push(...slice);
        bench.progress(`slice ${turn}/${slices}: ${side.name} p50 ${median(slice).toFixed(1)} ms`);
      }
    }
    return report(
      await Promise.all(measured.map(({ side, taken }, index) => summary(side, taken, warm[index]))),
    );
  });
}

interface Summary extends Latency {
  side: SideName;
  title: string;
  firstAttempts: { durable: number; express: number } | undefined;
}

/** An attempt is counted once it is recorded, which is after its receipt. @param least to wait for, for a while */
async function firstAttemptsOf({ posthorn }: Side, least: number): Promise<Summary['firstAttempts']> {
  for (let look = 1; ; look += 1) {
    const counted = await posthorn?.firstAttempts();
    if (!counted || counted.durable + counted.express >= least || look === COUNTED_WITHIN.looks)
      return counted;
    await sleep(COUNTED_WITHIN.apartMs);
  }
}

async function summary(side: Side, taken: number[], before: Summary['firstAttempts']): Promise<Summary> {
  const after = await firstAttemptsOf(side, WARM_UP + taken.length);
  return {
    side: side.name,
    title: side.title,
    ...latencyOf(taken),
    firstAttempts:
      before && after
        ? { durable: after.durable - before.durable, express: after.express - before.express }
        : undefined,
  };
}

function report(measured: Summary[]): Report {
  const of = (name: SideName) => measured.find(({ side }) => side === name);
  const [floor, durable, express, auto] = [of('floor'), of('durable'), of('express'), of('auto')];
  const targets: Target[] = [];
  if (durable && floor) {
    targets.push(atMost('durable, p50 over the floor', round(durable.p50Ms - floor.p50Ms, 1), 5, ' ms'));
  }
  if (express) targets.push(atMost('express, p50', express.p50Ms, 5, ' ms'));
  if (auto?.firstAttempts) {
    const { durable: asWorkflow, express: without } = auto.firstAttempts;
    targets.push(atLeast('auto, share that was durable', asWorkflow / (asWorkflow + without), 1));
  }
  return {
    columns: [`${LIGHT_PER_SECOND} a second`, 'p50 ms', 'p99 ms', 'events', 'first attempts durable/express'],
    rows: measured.map(({ title, p50Ms, p99Ms, count, firstAttempts }) => [
      title,
      cell(p50Ms),
      cell(p99Ms),
      String(count),
      firstAttempts ? `${firstAttempts.durable}/${firstAttempts.express}` : '–',
    ]),
    notes: [],
    targets,
    figures: measured,
  };
}
