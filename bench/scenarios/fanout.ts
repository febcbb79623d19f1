import type { Bench, World } from '../bench.js';
import { nowMs } from '../clock.js';
import type { Lane, Posthorn } from '../posthorn.js';
import { residentMiB } from '../processes/usage.js';
import { atMost, cell, type Report } from '../report.js';
import { largest, round } from '../statistics.js';

const WARM_UP_ENDPOINTS = 50;
const SAMPLE_EVERY_MS = 50;
const SETTLE_MS = 1_000;

interface Measured {
  lane: Lane;
  endpoints: number;
  acceptedMs: number;
  seconds: number;
  missing: number;
  twice: number;
  /** Memory of the process, in MiB; missing where it cannot be seen. */
  residentBefore?: number;
  residentPeak?: number;
}

/** One event for very many endpoints: how soon it is accepted, when all have it, and what memory that takes. */
export async function fanout(bench: Bench): Promise<Report> {
  const measured: Measured[] = [];
  for (const lane of bench.options.lanes) {
    measured.push(await bench.inWorld((world) => measure(bench, world, lane)));
  }
  return report(measured);
}

async function measure(bench: Bench, world: World, lane: Lane): Promise<Measured> {
  const { endpoints, payloadBytes } = bench.options;
  const { receiver } = world;
  const posthorn = await world.openPosthorn(lane);
  const few = await openAccount(posthorn, receiver.origin, WARM_UP_ENDPOINTS);
  await receiver.collectAll(keysOf(await posthorn.publish(few, { payloadBytes }), WARM_UP_ENDPOINTS));
  bench.progress(`${lane}: making ${endpoints} endpoints`);
  const accountId = await openAccount(posthorn, receiver.origin, endpoints);

  bench.progress(`${lane}: one event to all of them`);
  const memory = watchMemory(posthorn.pid);
  const startedAt = nowMs();
  const id = await posthorn.publish(accountId, { payloadBytes });
  const acceptedMs = round(nowMs() - startedAt, 1);
  const { atMs, twice } = await receiver.collect(keysOf(id, endpoints), { settleMs: SETTLE_MS });
  return {
    lane,
    endpoints,
    acceptedMs,
    seconds: round((largest(atMs) - startedAt) / 1000, 1),
    missing: atMs.filter((at) => Number.isNaN(at)).length,
    twice,
    ...memory.stop(),
  };
}

async function openAccount(posthorn: Posthorn, origin: string, endpoints: number): Promise<string> {
  const accountId = await posthorn.createAccount('bench');
  await Promise.all(
    Array.from({ length: endpoints }, (_, index) =>
      posthorn.createEndpoint(accountId, { url: `${origin}/fanout/${index}` }),
    ),
  );
  return accountId;
}

const keysOf = (id: string, endpoints: number): string[] =>
  Array.from({ length: endpoints }, (_, index) => `${id}/${index}`);

function watchMemory(pid: number) {
  const residentBefore = residentMiB(pid);
  if (residentBefore === undefined) return { stop: () => ({}) };
  let peak = residentBefore;
  const timer = setInterval(() => {
    peak = Math.max(peak, residentMiB(pid) ?? 0);
  }, SAMPLE_EVERY_MS);
  return {
    stop() {
      clearInterval(timer);
      return { residentBefore: round(residentBefore, 0), residentPeak: round(peak, 0) };
    },
  };
}

function report(measured: Measured[]): Report {
  return {
    columns: [
      'one event',
      'endpoints',
      '202 after ms',
      'all arrived s',
      'deliveries/s',
      'missing',
      'twice',
      'RSS before MiB',
      'RSS peak MiB',
    ],
    rows: measured.map((one) => [
      `Posthorn, ${one.lane}`,
      String(one.endpoints),
      cell(one.acceptedMs),
      cell(one.seconds),
      cell((one.endpoints - one.missing) / one.seconds),
      String(one.missing),
      String(one.twice),
      cell(one.residentBefore, 0),
      cell(one.residentPeak, 0),
    ]),
    notes: [],
    targets: measured.flatMap(({ lane, acceptedMs, missing, twice }) => [
      atMost(`${lane}: 202 after`, acceptedMs, 200, ' ms'),
      atMost(`${lane}: missing or twice`, missing + twice, 0),
    ]),
    figures: measured,
  };
}
