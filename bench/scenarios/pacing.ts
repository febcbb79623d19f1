import type { Bench, World } from '../bench.js';
import type { Lane } from '../posthorn.js';
import { atMost, cell, type Report } from '../report.js';
import { round } from '../statistics.js';
import { batchesOf } from './backlog.js';

const SECONDS = 30;
/** Published beyond what the time takes, so that something waits all along. */
const SURPLUS = 1.2;
const WARM_UP = 20;
/** A second arrival would show within it. */
const SETTLE_MS = 1_000;

interface Measured {
  lane: Lane;
  perSecond: number;
  burst: number;
  /** What arrived in a second, over the time. */
  measured: number;
  /** From the rate, in per cent. */
  deviation: number;
  /** Most attempts by which a stretch of time, however short, had more than the burst and what the rate adds to it. */
  excess: number;
  /** The same, where an attempt may come so late and the next one in time. */
  excessOfLate: number;
  missing: number;
  twice: number;
}

/** How late a moment that is an attempt's own may be used. */
const LATE_S = 0.2;

/** Whether two processes with a backlog for one limited endpoint keep its rate together. */
export async function pacing(bench: Bench): Promise<Report> {
  const measured: Measured[] = [];
  for (const lane of bench.options.lanes) {
    measured.push(await bench.inWorld((world) => measure(bench, world, lane)));
  }
  return report(measured, bench);
}

async function measure(bench: Bench, world: World, lane: Lane): Promise<Measured> {
  const { receiver, generator } = world;
  const { rate: perSecond, seconds = SECONDS } = bench.options;
  const burst = Math.max(1, Math.round(perSecond / 4));
  const first = await world.openPosthorn(lane);
  const processes = [first, await world.openBeside(first)];
  const accountId = await first.createAccount('bench');
  const warm = await first.createEndpoint(accountId, { url: `${receiver.origin}/warm` });
  for (const posthorn of processes) {
    await receiver.latencies(await generator.flood(posthorn.events(accountId, bench.options), WARM_UP, 5));
  }
  await first.deleteEndpoint(accountId, warm);
  await first.createEndpoint(accountId, {
    url: `${receiver.origin}/pacing`,
    rateLimit: { perSecond, burst },
  });

  bench.progress(`${lane}: ${perSecond} a second for ${seconds} s`);
  const each = Math.ceil((SURPLUS * perSecond * seconds) / processes.length);
  const ids: string[] = [];
  for (const posthorn of processes) {
    const { target, calls } = batchesOf(posthorn, accountId, bench.options, each);
    ids.push(...(await generator.flood(target, calls, 1)).ids);
  }
  const { atMs, twice } = await receiver.collect(ids, { settleMs: SETTLE_MS });
  const times = atMs.filter((at) => !Number.isNaN(at)).toSorted((a, b) => a - b);
  // From the first one that waited for the rate and not for the burst.
  const from = times[burst] ?? 0;
  const count = times.filter((at) => at >= from && at < from + seconds * 1000).length;
  const rate = count / seconds;
  return {
    lane,
    perSecond,
    burst,
    measured: round(rate, 2),
    deviation: round((100 * Math.abs(rate - perSecond)) / perSecond, 2),
    excess: round(excess(times, perSecond, burst, 0), 2),
    excessOfLate: round(excess(times, perSecond, burst, LATE_S), 2),
    missing: ids.length - times.length,
    twice,
  };
}

function excess(times: number[], perSecond: number, burst: number, lateSeconds: number): number {
  // The stretch that ends at each arrival and has the most: what a bucket of the size of the burst overflows by.
  let level = 0;
  let most = 0;
  let last = times[0] ?? 0;
  for (const at of times) {
    level = Math.max(0, level - ((at - last) * perSecond) / 1000) + 1;
    last = at;
    most = Math.max(most, level - burst - lateSeconds * perSecond);
  }
  return most;
}

function report(measured: Measured[], { options }: Bench): Report {
  return {
    columns: [
      'one endpoint, two processes',
      'limit/s',
      'burst',
      'measured/s',
      'deviation %',
      'over the burst',
      'late ones granted',
      'missing',
      'twice',
    ],
    rows: measured.map((one) => [
      `Posthorn, ${one.lane}`,
      String(one.perSecond),
      String(one.burst),
      cell(one.measured, 2),
      cell(one.deviation, 2),
      cell(one.excess, 2),
      cell(one.excessOfLate, 2),
      String(one.missing),
      String(one.twice),
    ]),
    notes: [
      `Arrivals over ${options.seconds ?? SECONDS} s. over the burst: attempts by which the fullest stretch of time had more than burst and rate allow;`,
      `behind it the same where an attempt may come ${LATE_S * 1000} ms after its moment.`,
    ],
    targets: measured.flatMap(({ lane, deviation, excessOfLate, missing, twice }) => [
      atMost(`${lane}: deviation from the rate`, deviation, 2, ' %'),
      atMost(`${lane}: over the burst`, excessOfLate, 0),
      atMost(`${lane}: missing or twice`, missing + twice, 0),
    ]),
    figures: measured,
  };
}
