/**
 * Runs `work` with a clock that stands still, in UTC, and with chance that is the same each time, for all that is in this
 * realm: whoever calls it owns the thread.
 *
 * @param clock its `nowMs` may be moved while the work goes on
 */
export function withStandingClock<Result>(
  clock: { nowMs: number; random: () => number },
  work: () => Result,
): Result {
  const { now } = Date;
  const { random } = Math;
  // Called on Date and on dates by whoever is given them back below: never unbound.
  const zone = Object.getOwnPropertyDescriptor(Date.prototype, 'getTimezoneOffset') ?? {};
  Date.now = () => clock.nowMs;
  Math.random = clock.random;
  Object.defineProperty(Date.prototype, 'getTimezoneOffset', { ...zone, value: () => 0 });
  try {
    return work();
  } finally {
    Date.now = now;
    Math.random = random;
    Object.defineProperty(Date.prototype, 'getTimezoneOffset', zone);
  }
}

/** Numbers from 0 up to 1 that follow from a seed (mulberry32). @param seed 32 bits */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** 48 bits of an id (FNV-1a, twice), which is also a moment that there is. */
export function seedOf(id: string): number {
  return fold(id, 0x811c9dc5) * 65_536 + (fold(id, 0x01000193) & 0xffff);
}

function fold(text: string, basis: number): number {
  let hash = basis;
  for (let index = 0; index < text.length; index += 1)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
