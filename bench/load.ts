import { nowMs } from './clock.js';

/** Begins one delivery. @returns the `webhook-id` it will arrive with */
export type Begin = () => Promise<string>;

/** When each delivery was begun, on the clock of {@link nowMs}, by its `webhook-id`. */
export type Begun = [id: string, atMs: number][];

/** Begins `events` deliveries as fast as `publishers` can, each beginning its next one as soon as one is accepted. */
export async function flood(begin: Begin, events: number, publishers: number): Promise<Begun> {
  const begun: Begun = [];
  let left = events;
  const publish = async () => {
    while (left > 0) {
      left -= 1;
      const atMs = nowMs();
      begun.push([await begin(), atMs]);
    }
  };
  await Promise.all(Array.from({ length: publishers }, publish));
  return begun;
}

/** Begins `perSecond` deliveries a second, evenly, whatever becomes of the earlier ones. */
export async function pace(begin: Begin, events: number, perSecond: number): Promise<Begun> {
  const startedAt = nowMs();
  return Promise.all(
    Array.from({ length: events }, async (_, index): Promise<[string, number]> => {
      await sleep(startedAt + (index * 1000) / perSecond - nowMs());
      const atMs = nowMs();
      return [await begin(), atMs];
    }),
  );
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
