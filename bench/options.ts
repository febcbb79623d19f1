import { parseArgs } from 'node:util';
import { type Lane, LANES } from './posthorn.js';
import { CLIENTS, type Client } from './load/target.js';
import { TEMPORAL_STORES, type TemporalStore } from './servers.js';

export const SCENARIOS = [
  'throughput',
  'latency',
  'noisy',
  'fanout',
  'sleeping',
  'priority',
  'pacing',
  'transform',
  'match',
] as const;
export type ScenarioName = (typeof SCENARIOS)[number];

/** What account A's receiver does, or what A does. */
export const TROUBLES = ['hang', 'dead', 'drip', 'flood'] as const;
export type Trouble = (typeof TROUBLES)[number];

/** Whether API and worker are one process. */
export const ROLES = ['together', 'apart'] as const;

export const USAGE = `npm run bench -- [scenario …] [options]

Scenarios: ${SCENARIOS.join(', ')}; without one: throughput and latency

  --temporal STORE   what Temporal keeps its data in: ${TEMPORAL_STORES.join(', ')} (sqlite)
  --roles HOW        of Posthorn: ${ROLES.join(', ')} in one process each (together)
  --lane A,B         lanes of Posthorn: ${LANES.join(', ')} (all)
  --events N         deliveries that throughput is measured with, for each side; the quicker sides get more (3000)
  --slices N         turns that the sides take (3)
  --client WHAT      that the load generator posts by: ${CLIENTS.join(', ')} (dispatcher)
  --publishers N     publishes or starts under way at once (50)
  --payload N        bytes of an event's data (500)
  --seconds N        light load, 20 events a second, for so long (20; noisy and priority 30); pacing: over so long (30)
  --trouble A,B      noisy: ${TROUBLES.join(', ')} (all)
  --accounts N,M     noisy: accounts that share the trouble, one case for each number (1,50)
  --backlog N        noisy: deliveries that wait for the troubled receivers (2000)
  --flood N          noisy: deliveries of a flood; priority: deliveries of low priority (20000)
  --endpoints N      fanout, match: endpoints of the account (10000)
  --rate N           pacing: attempts a second that the endpoint may get (20)
  --sleepers N       sleeping: deliveries that wait for their second attempt (20000)
  --idle N           sleeping: seconds over which idle processes are watched (30)
  --json             print each result as a line of JSON instead of a table
`;

export interface Options {
  scenarios: ScenarioName[];
  temporal: TemporalStore;
  roles: (typeof ROLES)[number];
  lanes: Lane[];
  events: number;
  slices: number;
  client: Client;
  publishers: number;
  payloadBytes: number;
  seconds: number | undefined;
  troubles: Trouble[];
  accounts: number[];
  backlog: number;
  flood: number;
  endpoints: number;
  rate: number;
  sleepers: number;
  idleSeconds: number;
  json: boolean;
}

/** @throws Error that names the option */
export function readOptions(args: string[]): Options {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      scenario: { type: 'string' },
      temporal: { type: 'string', default: 'sqlite' },
      roles: { type: 'string', default: 'together' },
      lane: { type: 'string', default: LANES.join() },
      events: { type: 'string', default: '3000' },
      slices: { type: 'string', default: '3' },
      client: { type: 'string', default: CLIENTS[0] },
      publishers: { type: 'string', default: '50' },
      payload: { type: 'string', default: '500' },
      seconds: { type: 'string' },
      trouble: { type: 'string', default: TROUBLES.join() },
      accounts: { type: 'string', default: '1,50' },
      backlog: { type: 'string', default: '2000' },
      flood: { type: 'string', default: '20000' },
      endpoints: { type: 'string', default: '10000' },
      rate: { type: 'string', default: '20' },
      sleepers: { type: 'string', default: '20000' },
      idle: { type: 'string', default: '30' },
      json: { type: 'boolean', default: false },
    },
  });
  const named = [...positionals, ...(values.scenario?.split(',') ?? [])];
  return {
    scenarios: named.length > 0 ? known('scenario', named, SCENARIOS) : ['throughput', 'latency'],
    temporal: known('--temporal', [values.temporal], TEMPORAL_STORES)[0] ?? 'sqlite',
    roles: known('--roles', [values.roles], ROLES)[0] ?? 'together',
    lanes: known('--lane', values.lane.split(','), LANES),
    events: positive('events', values.events),
    slices: positive('slices', values.slices),
    client: known('--client', [values.client], CLIENTS)[0] ?? CLIENTS[0],
    publishers: positive('publishers', values.publishers),
    payloadBytes: positive('payload', values.payload),
    seconds: values.seconds === undefined ? undefined : positive('seconds', values.seconds),
    troubles: known('--trouble', values.trouble.split(','), TROUBLES),
    accounts: values.accounts.split(',').map((value) => positive('accounts', value)),
    backlog: positive('backlog', values.backlog),
    flood: positive('flood', values.flood),
    endpoints: positive('endpoints', values.endpoints),
    rate: positive('rate', values.rate),
    sleepers: positive('sleepers', values.sleepers),
    idleSeconds: positive('idle', values.idle),
    json: values.json,
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new Error(`--${name} must be a whole number above 0`);
}

function known<T extends string>(what: string, names: string[], all: readonly T[]): T[] {
  return names.map((name) => {
    const found = all.find((one) => one === name.trim());
    if (found === undefined) throw new Error(`${what}: there is no ${name}; there are ${all.join(', ')}`);
    return found;
  });
}
