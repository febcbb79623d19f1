import type { BatchLimits } from './batches.schema.js';

/** What counts of an event that is collected. */
export interface Collected {
  /** Of its data, in UTF-8. */
  bytes: number;
  /** Whether nobody is to act on it: a batch is marked as a whole. */
  test: boolean;
}

/**
 * Where to cut what is collected into batches. An event that alone is larger than a batch may be is one.
 *
 * @param items in the order in which they are to be sent
 * @param rest whether what fills no batch is sent too
 * @returns how many go into each batch; those after them are collected further
 */
export function cut(
  items: readonly Collected[],
  { maxEvents, maxBytes }: Pick<BatchLimits, 'maxEvents' | 'maxBytes'>,
  rest: boolean,
): number[] {
  const lengths: number[] = [];
  let events = 0;
  let bytes = 0;
  let test = false;
  const close = () => {
    if (events > 0) lengths.push(events);
    events = 0;
    bytes = 0;
  };
  for (const item of items) {
    if (bytes + item.bytes > maxBytes || item.test !== test) close();
    events += 1;
    bytes += item.bytes;
    test = item.test;
    if (events === maxEvents || bytes >= maxBytes) close();
  }
  if (rest) close();
  return lengths;
}
