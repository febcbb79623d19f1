import type { Bench, World } from '../bench.js';
import type { Lane } from '../posthorn.js';
import { atMost, cell, type Report } from '../report.js';
import { largest, type Latency, latencyOf, round } from '../statistics.js';
import { batchesOf } from './backlog.js';
import { LIGHT_PER_SECOND } from './latency.js';

const SECONDS = 30;
const WARM_UP = 100;
const BACKLOG_PUBLISHERS = 10;

interface Measured {
  lane: Lane;
  idle: Latency;
  behind: Latency;
  /** Of these, those published while low ones were still being published, and those after. */
  behindParts: { coming: Latency; waiting: Latency };
  ratio: number;
  backlog: number;
  left: number;
}

/** Whether a critical event waits behind a backlog of low ones of the same account and endpoint. */
export async function priority(bench: Bench): Promise<Report> {
  const measured: Measured[] = [];
  for (const lane of bench.options.lanes) {
    measured.push(await bench.inWorld((world) => measure(bench, world, lane)));
  }
  return report(measured);
}

async function measure(bench: Bench, world: World, lane: Lane): Promise<Measured> {
  const { receiver, generator } = world;
  const { payloadBytes, flood, seconds = SECONDS } = bench.options;
  const posthorn = await world.openPosthorn(lane);
  const accountId = await posthorn.createAccount('bench');
  await posthorn.createEndpoint(accountId, { url: `${receiver.origin}/priority` });
  const critical = posthorn.events(accountId, { payloadBytes, priority: 'critical' });
  const low = batchesOf(posthorn, accountId, { payloadBytes, priority: 'low' }, flood);
  const lowGenerator = await world.openGenerator();
  await receiver.latencies(await generator.flood(critical, WARM_UP, 10));

  bench.progress(`${lane}: critical events alone, ${seconds} s`);
  const calls = seconds * LIGHT_PER_SECOND;
  const idle = await receiver.latencies(await generator.pace(critical, calls, LIGHT_PER_SECOND));

  bench.progress(`${lane}: critical events with ${flood} low ones, ${seconds} s`);
  const [begun, lows] = await Promise.all([
    generator.pace(critical, calls, LIGHT_PER_SECOND),
    lowGenerator.flood(low.target, low.calls, BACKLOG_PUBLISHERS),
  ]);
  const latencies = await receiver.latencies(begun);
  const { atMs } = await receiver.collect(lows.ids, { stalledAfterMs: 0 });
  const left = atMs.filter((at) => Number.isNaN(at)).length;
  const overAt = left > 0 ? Infinity : largest(atMs);
  // Where the backlog was gone early, what was published afterwards says nothing.
  const within = (fromMs: number, untilMs: number) =>
    latencies.filter((_, index) => {
      const at = begun.atMs[index] ?? 0;
      return fromMs <= at && at < untilMs;
    });
  const allThereAt = largest(lows.atMs);
  const [alone, after] = [latencyOf(idle), latencyOf(within(0, overAt))];
  return {
    lane,
    idle: alone,
    behind: after,
    behindParts: {
      coming: latencyOf(within(0, allThereAt)),
      waiting: latencyOf(within(allThereAt, overAt)),
    },
    ratio: round(after.p99Ms / alone.p99Ms, 2),
    backlog: lows.ids.length,
    left,
  };
}

function report(measured: Measured[]): Report {
  return {
    columns: [
      'critical events',
      'p50 idle',
      'p99 idle',
      'p50 behind',
      'p99 behind',
      'ratio',
      'p99 while they come',
      'once all are there',
      'events',
      'low backlog',
      'left',
    ],
    rows: measured.map(({ lane, idle, behind, behindParts, ratio, backlog, left }) => [
      `Posthorn, ${lane}`,
      cell(idle.p50Ms),
      cell(idle.p99Ms),
      cell(behind.p50Ms),
      cell(behind.p99Ms),
      cell(ratio, 2),
      cell(behindParts.coming.p99Ms),
      cell(behindParts.waiting.p99Ms),
      String(behind.count),
      String(backlog),
      String(left),
    ]),
    notes: [
      `Milliseconds, ${LIGHT_PER_SECOND} critical events a second. left: low ones that still waited when the last critical one had arrived.`,
    ],
    targets: measured.map(({ lane, ratio }) => atMost(`${lane}: p99 behind / idle`, ratio, 2)),
    figures: measured,
  };
}
