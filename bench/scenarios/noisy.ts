import type { Bench, World } from '../bench.js';
import { nowMs } from '../clock.js';
import type { Generator } from '../load/generator.js';
import type { Target as PublishTarget } from '../load/target.js';
import type { Trouble } from '../options.js';
import type { Lane, Posthorn } from '../posthorn.js';
import { atMost, cell, type Report } from '../report.js';
import { largest, type Latency, latencyOf, round } from '../statistics.js';
import { batchesOf } from './backlog.js';
import { LIGHT_PER_SECOND } from './latency.js';
import { factor } from './throughput.js';

const SECONDS = 30;
const WARM_UP = 500;
/** Soon again at first, then often enough that a healed receiver has everything within a minute. */
const RETRY_SCHEDULE = [5, ...Array<number>(29).fill(30)];
/** Longer than the longest wait between two attempts. */
const STALLED_AFTER_MS = 120_000;
/** Within it a second arrival would show. */
const SETTLE_MS = 1_000;

interface Case {
  trouble: Trouble;
  accounts: number;
}

interface Measured extends Case {
  lane: Lane;
  before: Latency;
  during: Latency;
  ratio: number;
  /** Deliveries of the troubled accounts. */
  deliveries: number;
  leftWhenHealed: number;
  missing: number;
  twice: number;
  drainSeconds: number;
}

/** Whether account B, with a healthy receiver, notices the trouble of account A, or of many As at once. */
export async function noisy(bench: Bench): Promise<Report> {
  const { lanes, accounts, troubles } = bench.options;
  const cases = accounts.flatMap((count) => troubles.map((trouble) => ({ trouble, accounts: count })));
  const measured: Measured[] = [];
  for (const lane of lanes) {
    await bench.inWorld(async (world) => {
      const neighbours = await open(bench, world, lane);
      for (const one of cases) measured.push(await measure(bench, world, neighbours, one));
    });
  }
  return report(measured, bench);
}

interface Neighbours {
  posthorn: Posthorn;
  /** Publishes for A, so that B's generator is never late. */
  noise: Generator;
  b: PublishTarget;
}

async function open(bench: Bench, world: World, lane: Lane): Promise<Neighbours> {
  const posthorn = await world.openPosthorn(lane);
  const accountId = await posthorn.createAccount('B');
  await posthorn.createEndpoint(accountId, { url: `${world.receiver.origin}/b` });
  const b = posthorn.events(accountId, bench.options);
  await world.receiver.latencies(await world.generator.flood(b, WARM_UP, 10));
  const noise = await world.openGenerator();
  // What publishes for A is warm as well: a system that has just begun still compiles what reads batches.
  const other = await posthorn.createAccount('A');
  await posthorn.createEndpoint(other, { url: `${world.receiver.origin}/a` });
  const batches = batchesOf(posthorn, other, bench.options, WARM_UP * factor(lane));
  await world.receiver.collectAll((await noise.flood(batches.target, batches.calls, 10)).ids);
  return { posthorn, noise, b };
}

async function measure(
  bench: Bench,
  { receiver, generator }: World,
  { posthorn, noise, b }: Neighbours,
  { trouble, accounts }: Case,
): Promise<Measured> {
  const { options } = bench;
  const { seconds = SECONDS } = options;
  const title = `${posthorn.lane}, ${trouble}, ${accounts}`;
  const { origin, heal } = await openTroubled({ receiver }, trouble);
  const as = await Promise.all(
    Array.from({ length: accounts }, async (_, index) => {
      const accountId = await posthorn.createAccount(`A ${index}`);
      const endpointId = await posthorn.createEndpoint(accountId, {
        url: `${origin}/${trouble}/${index}`,
        retrySchedule: RETRY_SCHEDULE,
      });
      return { accountId, endpointId, index };
    }),
  );

  bench.progress(`${title}: B alone, ${seconds} s`);
  const calls = seconds * LIGHT_PER_SECOND;
  const before = await receiver.latencies(await generator.pace(b, calls, LIGHT_PER_SECOND));

  bench.progress(`${title}: B beside it, ${seconds} s`);
  const total = trouble === 'flood' ? options.flood : options.backlog;
  const publishing = as.map(async ({ accountId, index }) => {
    const { target, calls: batches } = batchesOf(posthorn, accountId, options, Math.ceil(total / accounts));
    const { ids } = await noise.flood(target, batches, Math.ceil(10 / accounts));
    return ids.map((id) => `${id}/${index}`);
  });
  const [begun, ...published] = await Promise.all([
    generator.pace(b, calls, LIGHT_PER_SECOND),
    ...publishing,
  ]);
  const healedAt = nowMs();
  await heal();

  bench.progress(`${title}: draining`);
  const keys = published.flat();
  const { atMs, twice } = await receiver.collect(keys, {
    stalledAfterMs: STALLED_AFTER_MS,
    settleMs: SETTLE_MS,
  });
  const missing = atMs.filter((at) => Number.isNaN(at)).length;
  const lastAt = missing > 0 ? Infinity : largest(atMs);
  const latencies = await receiver.latencies(begun);
  // Where the trouble was over early, what B published afterwards says nothing.
  const during = latencies.filter((_, index) => (begun.atMs[index] ?? 0) < lastAt);
  for (const { accountId, endpointId } of as) await posthorn.deleteEndpoint(accountId, endpointId);
  const [alone, beside] = [latencyOf(before), latencyOf(during)];
  bench.progress(`${title}: p99 ${alone.p99Ms} ms before, ${beside.p99Ms} ms beside it`);
  return {
    lane: posthorn.lane,
    trouble,
    accounts,
    before: alone,
    during: beside,
    ratio: round(beside.p99Ms / alone.p99Ms, 2),
    deliveries: keys.length,
    leftWhenHealed: atMs.filter((at) => !(at <= healedAt)).length,
    missing,
    twice,
    drainSeconds: round(Math.max(0, largest(atMs) - healedAt) / 1000, 1),
  };
}

/** Where A's endpoints are, and what ends the trouble. */
async function openTroubled({ receiver }: Pick<World, 'receiver'>, trouble: Trouble) {
  switch (trouble) {
    case 'dead':
      return receiver.openDead();
    case 'flood':
      return { origin: receiver.origin, heal: () => Promise.resolve() };
    case 'hang':
    case 'drip':
      await receiver.behave(trouble, trouble);
      return { origin: receiver.origin, heal: () => receiver.behave(trouble, 'ok') };
  }
}

function report(measured: Measured[], { options }: Bench): Report {
  const name = ({ lane, trouble, accounts }: Measured) => `${lane}, ${trouble} × ${accounts}`;
  return {
    columns: [
      "B's latency beside A",
      'p50 before',
      'p99 before',
      'p50 during',
      'p99 during',
      'ratio',
      "B's events",
      "A's deliveries",
      'left',
      'missing',
      'twice',
      'drain s',
    ],
    rows: measured.map((one) => [
      name(one),
      cell(one.before.p50Ms),
      cell(one.before.p99Ms),
      cell(one.during.p50Ms),
      cell(one.during.p99Ms),
      cell(one.ratio, 2),
      String(one.during.count),
      String(one.deliveries),
      String(one.leftWhenHealed),
      String(one.missing),
      String(one.twice),
      cell(one.drainSeconds),
    ]),
    notes: [
      `Milliseconds, B at ${LIGHT_PER_SECOND} a second. × n: n accounts share the ${options.backlog} deliveries (flood: ${options.flood}) evenly.`,
      "During: while A's deliveries are open. left: open when A's receiver was healed, which drained in the last column's time.",
      'hang: answers after 10 s; dead: refuses connections; drip: a byte a second for ever; flood: a healthy receiver.',
    ],
    targets: measured.flatMap((one) => [
      atMost(`${name(one)}: p99 during / before`, one.ratio, 2),
      atMost(`${name(one)}: missing or twice`, one.missing + one.twice, 0),
    ]),
    figures: measured,
  };
}
