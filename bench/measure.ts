import { nowMs } from './clock.js';
import type { Receiver } from './receiver.js';
import type { Side } from './side.js';
import { median, percentile, round } from './statistics.js';

export interface Plan {
  /** Deliveries that throughput is measured with, for each side. */
  events: number;
  /** Into how many slices they are cut; the sides take turns. */
  slices: number;
  publishers: number;
  light: { perSecond: number; seconds: number };
}

export interface Measured {
  /** Deliveries that arrived a second, from the first one begun to the last one received: median of the slices. */
  perSec: number;
  /** Under light load, from begin to receipt. */
  p50Ms: number;
  p99Ms: number;
  slicesPerSec: number[];
}

export interface Comparison {
  floor: Measured;
  durable: Measured;
  /** Median over the pairs of slices of durable / floor. */
  ratio: number;
  slicesRatio: number[];
}

const WARM_UP = 300;
/** Lets the server write down what the last slice left behind. */
const REST_MS = 1_000;

/** Measures both sides in turns, so that what else the machine does meets both. */
export async function compare(
  sides: { floor: Side; durable: Side },
  receiver: Receiver,
  plan: Plan,
  progress: (line: string) => void,
): Promise<Comparison> {
  const perSlice = Math.ceil(plan.events / plan.slices);
  const rates = { floor: [] as number[], durable: [] as number[] };
  const latencies = { floor: [] as number[], durable: [] as number[] };

  progress(`warming up with ${WARM_UP} deliveries each`);
  for (const side of [sides.floor, sides.durable]) await throughput(side, receiver, WARM_UP, plan.publishers);
  for (let slice = 1; slice <= plan.slices; slice += 1) {
    for (const name of ['floor', 'durable'] as const) {
      const perSec = await throughput(sides[name], receiver, perSlice, plan.publishers);
      rates[name].push(perSec);
      progress(`throughput ${slice}/${plan.slices}: ${name} ${perSec.toFixed(1)}/s`);
      await rest();
    }
  }
  const lightEvents = Math.ceil((plan.light.perSecond * plan.light.seconds) / plan.slices);
  for (let slice = 1; slice <= plan.slices; slice += 1) {
    for (const name of ['floor', 'durable'] as const) {
      const taken = await latency(sides[name], receiver, lightEvents, plan.light.perSecond);
      latencies[name].push(...taken);
      progress(`light load ${slice}/${plan.slices}: ${name} p50 ${median(taken).toFixed(1)} ms`);
      await rest();
    }
  }

  const slicesRatio = rates.durable.map((perSec, slice) => round(perSec / (rates.floor[slice] ?? 0), 3));
  const measured = (name: 'floor' | 'durable'): Measured => ({
    perSec: round(median(rates[name]), 1),
    p50Ms: round(percentile(latencies[name], 0.5), 1),
    p99Ms: round(percentile(latencies[name], 0.99), 1),
    slicesPerSec: rates[name].map((perSec) => round(perSec, 1)),
  });
  return { floor: measured('floor'), durable: measured('durable'), ratio: median(slicesRatio), slicesRatio };
}

async function throughput(
  side: Side,
  receiver: Receiver,
  events: number,
  publishers: number,
): Promise<number> {
  const startedAt = nowMs();
  const { arrivedAt } = await receiver.collect(events, () => side.flood(events, publishers));
  return (events * 1000) / (Math.max(...arrivedAt.values()) - startedAt);
}

async function latency(side: Side, receiver: Receiver, events: number, perSecond: number): Promise<number[]> {
  const { arrivedAt, result: begun } = await receiver.collect(events, () => side.pace(events, perSecond));
  return begun.map(([id, beganAt]) => (arrivedAt.get(id) ?? Number.NaN) - beganAt);
}

const rest = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, REST_MS));
