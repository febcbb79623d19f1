import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench, World } from '../bench.js';
import { nowMs } from '../clock.js';
import type { Lane, Posthorn } from '../posthorn.js';
import { cpuMs, residentMiB } from '../processes/usage.js';
import { atLeast, atMost, cell, type Report } from '../report.js';
import { median, round } from '../statistics.js';
import { batchesOf } from './backlog.js';
import { factor, flooded } from './throughput.js';

const WARM_UP = 300;
const BACKLOG_PUBLISHERS = 10;
const HOURS_AWAY = [6 * 3600, 24 * 3600];
const ASK_EVERY_MS = 500;
/** Lets the servers write down what happened before, and V8 shrink its heaps: it does so up to 40 s after the last work. */
const REST_MS = 60_000;

const PARTS = ['posthorn', 'temporal', 'temporalStore', 'postgres'] as const;
/** Share of a core, in per cent. */
type Idle = Partial<Record<(typeof PARTS)[number], number>>;

interface State {
  idle: Idle;
  residentMiB: number | undefined;
  perSec: number;
  slicesPerSec: number[];
}

interface Measured {
  lane: Lane;
  sleepers: number;
  empty: State;
  asleep: State;
  ratio: number;
}

/** What deliveries cost that wait hours for their second attempt, and whether they slow the fresh ones down. */
export async function sleeping(bench: Bench): Promise<Report> {
  const measured: Measured[] = [];
  for (const lane of bench.options.lanes) {
    measured.push(await bench.inWorld((world) => measure(bench, world, lane)));
  }
  return report(measured, bench);
}

async function measure(bench: Bench, world: World, lane: Lane): Promise<Measured> {
  const { receiver, generator } = world;
  const { publishers, sleepers: wanted } = bench.options;
  // Where putting them to sleep takes longer than a minute, a circuit would hold the rest of them.
  const posthorn = await world.openPosthorn(lane, { POSTHORN_CIRCUIT_FAILURES: '0' });
  const freshId = await posthorn.createAccount('fresh');
  await posthorn.createEndpoint(freshId, { url: `${receiver.origin}/fresh` });
  const target = posthorn.events(freshId, bench.options);
  const fresh = { flood: (events: number) => generator.flood(target, events, publishers) };
  await flooded(world, fresh, WARM_UP * factor(lane));
  const watch = () => watchState(bench, world, posthorn, (events) => flooded(world, fresh, events));

  bench.progress(`${lane}: empty`);
  const empty = await watch();

  bench.progress(`${lane}: putting ${wanted} deliveries to sleep`);
  const sleeperId = await posthorn.createAccount('sleepers');
  await receiver.behave('sleeper', 'fail');
  await posthorn.createEndpoint(sleeperId, {
    url: `${receiver.origin}/sleeper`,
    retrySchedule: HOURS_AWAY,
  });
  const batches = batchesOf(posthorn, sleeperId, bench.options, wanted);
  const { ids } = await generator.flood(batches.target, batches.calls, BACKLOG_PUBLISHERS);
  await receiver.collectAll(ids);
  while ((await posthorn.hasPending(sleeperId)) || (await posthorn.isHandingOver()))
    await sleep(ASK_EVERY_MS);

  bench.progress(`${lane}: with ${ids.length} asleep`);
  const asleep = await watch();
  return { lane, sleepers: ids.length, empty, asleep, ratio: round(asleep.perSec / empty.perSec, 2) };
}

async function watchState(
  { options, progress }: Bench,
  { servers }: World,
  posthorn: Posthorn,
  measureRate: (events: number) => Promise<number>,
): Promise<State> {
  await sleep(REST_MS);
  const pids = { ...servers.pids, posthorn: posthorn.pid };
  const used = () => PARTS.map((part) => (pids[part] === undefined ? undefined : cpuMs(pids[part])));
  const [before, startedAt] = [used(), nowMs()];
  await sleep(options.idleSeconds * 1000);
  const [after, endedAt] = [used(), nowMs()];
  const idle: Idle = {};
  PARTS.forEach((part, index) => {
    const [from, to] = [before[index], after[index]];
    if (from !== undefined && to !== undefined)
      idle[part] = round((100 * (to - from)) / (endedAt - startedAt), 2);
  });
  const resident = residentMiB(posthorn.pid);
  const slicesPerSec: number[] = [];
  const perSlice = Math.ceil((options.events * factor(posthorn.lane)) / options.slices);
  for (let slice = 1; slice <= options.slices; slice += 1) {
    const perSec = await measureRate(perSlice);
    slicesPerSec.push(round(perSec, 1));
    progress(`slice ${slice}/${options.slices}: ${perSec.toFixed(1)}/s`);
  }
  return {
    idle,
    residentMiB: resident === undefined ? undefined : round(resident, 0),
    perSec: median(slicesPerSec),
    slicesPerSec,
  };
}

function report(measured: Measured[], { options }: Bench): Report {
  const row = (title: string, { idle, residentMiB: resident, perSec }: State, ratio?: number) => [
    title,
    ...PARTS.map((part) => cell(idle[part], 2)),
    cell(resident, 0),
    cell(perSec),
    cell(ratio, 2),
  ];
  return {
    columns: [
      'deliveries asleep',
      'idle % Posthorn',
      'Temporal',
      'its store',
      'PostgreSQL',
      'RSS Posthorn MiB',
      'fresh deliveries/s',
      'of empty',
    ],
    rows: measured.flatMap(({ lane, sleepers, empty, asleep, ratio }) => [
      row(`Posthorn, ${lane}: none`, empty),
      row(`Posthorn, ${lane}: ${sleepers}`, asleep, ratio),
    ]),
    notes: [`Idle: share of a core over ${options.idleSeconds} s. Their next attempt is six hours away.`],
    targets: measured.flatMap(({ lane, asleep, ratio }) => [
      ...PARTS.flatMap((part) => {
        const share = asleep.idle[part];
        return share === undefined ? [] : [atMost(`${lane}: idle ${part}`, share, 2, ' %')];
      }),
      ...(asleep.residentMiB === undefined ? [] : [atMost(`${lane}: RSS`, asleep.residentMiB, 400, ' MiB')]),
      atLeast(`${lane}: fresh deliveries, of empty`, ratio, 0.9),
    ]),
    figures: measured,
  };
}
