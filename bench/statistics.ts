/** The value below which the given share (0 to 1) of the values lies; NaN of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);

export const round = (value: number, digits: number): number => Number(value.toFixed(digits));

/** Without spreading: there may be more values than a call takes arguments. */
export const smallest = (values: readonly number[]): number =>
  values.reduce((least, value) => Math.min(least, value), Infinity);

/** Passes over NaN. */
export const largest = (values: readonly number[]): number =>
  values.reduce((most, value) => (value > most ? value : most), -Infinity);

/** Slice by slice, so that both come from the same moment of the machine. */
export const ratios = (values: readonly number[], bases: readonly number[]): number[] =>
  values.map((value, slice) => round(value / (bases[slice] ?? Number.NaN), 3));

export interface Latency {
  p50Ms: number;
  p99Ms: number;
  count: number;
}

export const latencyOf = (valuesMs: readonly number[]): Latency => ({
  p50Ms: round(percentile(valuesMs, 0.5), 1),
  p99Ms: round(percentile(valuesMs, 0.99), 1),
  count: valuesMs.length,
});
