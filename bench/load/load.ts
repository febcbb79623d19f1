import { setTimeout as sleep } from 'node:timers/promises';
import { nowMs } from '../clock.js';

/** Begins one or more deliveries. @returns the `webhook-id` that each will arrive with */
export type Begin = () => Promise<string[]>;

/** Deliveries that were begun, and when, on the clock of {@link nowMs}. */
export interface Begun {
  ids: string[];
  atMs: number[];
}

/** Calls `begin` so many times, as fast as `publishers` can, each calling again as soon as it is answered. */
export async function flood(begin: Begin, calls: number, publishers: number): Promise<Begun> {
  const begun: Begun = { ids: [], atMs: [] };
  let left = calls;
  const publish = async () => {
    while (left > 0) {
      left -= 1;
      const atMs = nowMs();
      for (const id of await begin()) {
        begun.ids.push(id);
        begun.atMs.push(atMs);
      }
    }
  };
  await Promise.all(Array.from({ length: publishers }, publish));
  return begun;
}

/** Calls `begin` `perSecond` times a second, evenly, whatever becomes of the earlier calls. */
export async function pace(begin: Begin, calls: number, perSecond: number): Promise<Begun> {
  const startedAt = nowMs();
  const each = await Promise.all(
    Array.from({ length: calls }, async (_, index) => {
      await sleep(startedAt + (index * 1000) / perSecond - nowMs());
      const atMs = nowMs();
      return (await begin()).map((id) => ({ id, atMs }));
    }),
  );
  const begun = each.flat();
  return { ids: begun.map(({ id }) => id), atMs: begun.map(({ atMs }) => atMs) };
}
