import type { Bench, World } from './bench.js';
import type { Begun } from './load/load.js';
import { payload } from './load/payload.js';
import type { Lane, Posthorn } from './posthorn.js';

export type SideName = 'direct' | 'floor' | Lane;

/** One of those that are measured against each other, in turns. */
export interface Side {
  name: SideName;
  /** In words, for the table. */
  title: string;
  /** Its process; none beside generator and receiver when they talk directly. */
  pid?: number;
  posthorn?: Posthorn;
  flood(events: number): Promise<Begun>;
  pace(events: number, perSecond: number): Promise<Begun>;
}

/** The load generator posting straight to the receiver, the bare workflow, and Posthorn in each lane. */
export async function openSides(bench: Bench, world: World): Promise<Side[]> {
  const sides = [directSide(bench, world), await floorSide(bench, world)];
  for (const lane of bench.options.lanes) sides.push(await laneSide(bench, world, lane));
  return sides;
}

function directSide({ options }: Bench, { generator, receiver }: World): Side {
  const target = {
    origin: receiver.origin,
    path: '/direct',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ type: 'bench.delivered', data: payload(options.payloadBytes) }),
    ids: 'sent' as const,
  };
  return {
    name: 'direct',
    title: 'direct: generator to receiver',
    flood: (events) => generator.flood(target, events, options.publishers),
    pace: (events, perSecond) => generator.pace(target, events, perSecond),
  };
}

async function floorSide({ options }: Bench, world: World): Promise<Side> {
  const floor = await world.openFloor();
  return {
    name: 'floor',
    title: 'floor: bare workflow, one local activity',
    pid: floor.pid,
    flood: (events) => floor.flood(events, options.publishers),
    pace: (events, perSecond) => floor.pace(events, perSecond),
  };
}

async function laneSide({ options }: Bench, world: World, lane: Lane): Promise<Side> {
  const { generator, receiver } = world;
  const posthorn = await world.openPosthorn(lane);
  const accountId = await posthorn.createAccount('bench');
  await posthorn.createEndpoint(accountId, { url: `${receiver.origin}/${lane}` });
  const target = posthorn.events(accountId, options);
  return {
    name: lane,
    title: `Posthorn, ${lane}: POST to receipt`,
    pid: posthorn.pid,
    posthorn,
    flood: (events) => generator.flood(target, events, options.publishers),
    pace: (events, perSecond) => generator.pace(target, events, perSecond),
  };
}
