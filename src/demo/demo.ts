import { performance } from 'node:perf_hooks';
import { Api } from './api.js';
import { CAST, RETRY_SCHEDULE, type Role } from './cast.js';
import { DemoError } from './demo-error.js';
import { type GithubEvent, githubEvents } from './github-events.js';
import { type Outcome, summarise, surprises } from './outcome.js';
import { Receiver } from './receiver.js';
import { duration, table } from './report.js';
import type { Screen } from './screen.js';
import type { System } from './system.js';

/** Events under way at a time: enough to keep Posthorn busy, few enough that none waits for the others. */
const PUBLISHERS = 4;
const STALLED_AFTER_MS = 30_000;
const POLL_EVERY_MS = 250;
const UNDO_WITHIN_MS = 3_000;
const KEY_LASTS_MS = 24 * 60 * 60 * 1000;

/** A receiver with its endpoint. */
interface Player {
  role: Role;
  receiver: Receiver;
  endpointId: string;
}
type Players = Record<keyof typeof CAST, Player>;

interface Stage {
  api: Api;
  screen: Screen;
  accountId: string;
  events: GithubEvent[];
  players: Players;
  /** When each event was published, on the clock of `performance.now()`, by its id. */
  publishedAt: Map<string, number>;
  signal: AbortSignal;
}

/**
 * Three receivers, every example payload that GitHub documents, and what became of them.
 *
 * @returns what is not as it should be, one sentence each
 * @throws DemoError when it could not be played to its end, and the reason of `signal` when that was aborted
 */
export async function playDemo(system: System, screen: Screen, signal: AbortSignal): Promise<string[]> {
  const api = new Api(system.url, system.operatorKey, signal);
  const events = githubEvents();
  const texts = new Set(events.map(({ data }) => data));
  const receivers: Receiver[] = [];
  const open = async (role: Role): Promise<Receiver> => {
    const receiver = await Receiver.open({ answer: role.answer, published: (data) => texts.has(data) });
    receivers.push(receiver);
    return receiver;
  };
  try {
    const { id: accountId } = await api.createAccount('GitHub, by the demo');
    screen.step('account', accountId);
    const players: Players = {
      healthy: await join(api, accountId, CAST.healthy, await open(CAST.healthy)),
      failing: await join(api, accountId, CAST.failing, await open(CAST.failing)),
      gone: await join(api, accountId, CAST.gone, await open(CAST.gone)),
    };
    screen.step('receivers', `three on loopback, each with its own signing secret`);
    for (const { role, receiver } of Object.values(players))
      screen.write(`      ${role.name.padEnd(15)} ${screen.dim(receiver.url)}  ${role.answers}`);
    const stage: Stage = { api, screen, accountId, events, players, publishedAt: new Map(), signal };
    try {
      await deliver(stage);
      return await tell(stage);
    } catch (error) {
      await undo(stage);
      throw error;
    }
  } finally {
    await Promise.all(receivers.map((receiver) => receiver.close()));
  }
}

async function join(api: Api, accountId: string, role: Role, receiver: Receiver): Promise<Player> {
  const { id, signingSecret } = await api.createEndpoint(accountId, {
    url: receiver.url,
    description: `${role.name}: answers ${role.answers}`,
    retrySchedule: RETRY_SCHEDULE,
  });
  receiver.expectSignaturesOf(signingSecret);
  return { role, receiver, endpointId: id };
}

/** Publishes everything and waits until no delivery is open any more. */
async function deliver(stage: Stage): Promise<void> {
  const { screen, events } = stage;
  const types = new Set(events.map(({ type }) => type)).size;
  screen.step(
    'events',
    `${events.length} payloads of GitHub's ${types} event types, published ${PUBLISHERS} at a time`,
  );
  screen.write('');
  const startedAt = performance.now();
  const stop = screen.follow({ panel: () => panel(stage, startedAt), line: () => line(stage, startedAt) });
  try {
    const queue = events.entries();
    await Promise.all(Array.from({ length: PUBLISHERS }, () => publishFrom(queue, stage)));
    await settled(stage);
  } finally {
    stop();
  }
}

/** Publishes one event after the other, each when the one before has reached the healthy receiver. */
async function publishFrom(queue: Iterable<[number, GithubEvent]>, stage: Stage): Promise<void> {
  const { api, accountId, players, publishedAt, signal } = stage;
  for (const [index, { type, data }] of queue) {
    const startedAt = performance.now();
    const { id } = await api.publish(accountId, { type, externalId: `${type}-${index}`, data });
    publishedAt.set(id, startedAt);
    await orStalled(players.healthy.receiver.arrival(id), signal);
  }
}

async function settled({ api, accountId, players, signal }: Stage): Promise<void> {
  const requests = () => Object.values(players).reduce((sum, { receiver }) => sum + receiver.requests, 0);
  let seen = requests();
  let movedAt = performance.now();
  while ((await api.hasDelivery(accountId, 'pending')) || (await api.hasDelivery(accountId, 'retrying'))) {
    if (requests() !== seen) {
      seen = requests();
      movedAt = performance.now();
    } else if (performance.now() - movedAt > STALLED_AFTER_MS) throw stalled();
    await orStalled(new Promise((resolve) => setTimeout(resolve, POLL_EVERY_MS)), signal);
  }
}

async function orStalled(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let end: () => void = () => undefined;
  const late = new Promise((_, reject) => {
    const timer = setTimeout(() => reject(stalled()), STALLED_AFTER_MS);
    const onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort);
    end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
  });
  signal.throwIfAborted();
  try {
    await Promise.race([work, late]);
  } finally {
    end();
  }
}

const stalled = (): DemoError =>
  new DemoError(
    `No delivery has arrived for ${STALLED_AFTER_MS / 1000} s, and some are open still.`,
    'See /readyz, the log of Posthorn, and whether it may reach loopback (POSTHORN_EGRESS_ALLOW).',
  );

/** An interrupted demo leaves nothing behind that goes on calling receivers which are gone. */
async function undo({ api, accountId, players }: Stage): Promise<void> {
  const signal = AbortSignal.timeout(UNDO_WITHIN_MS);
  await Promise.allSettled(
    Object.values(players).map(({ endpointId }) => api.deleteEndpoint(accountId, endpointId, signal)),
  );
}

function panel({ screen, events, publishedAt, players }: Stage, startedAt: number): string[] {
  const { healthy, failing, gone } = players;
  const row = (name: string, share: number, text: string) =>
    `  ${name.padEnd(14)} ${screen.bar(share)}  ${text}`;
  const delivered = ({ receiver }: Player) => receiver.accepted.size;
  const refusals = failing.receiver.requests - delivered(failing);
  return [
    row(
      'published',
      publishedAt.size / events.length,
      `${publishedAt.size} of ${events.length}   ${seconds(startedAt)}`,
    ),
    row(healthy.role.name, delivered(healthy) / events.length, `${delivered(healthy)} delivered`),
    row(
      failing.role.name,
      delivered(failing) / events.length,
      `${delivered(failing)} delivered, after ${refusals} × 503`,
    ),
    row(
      gone.role.name,
      0,
      gone.receiver.requests === 0 ? '' : `${gone.receiver.requests} × 410, then no more`,
    ),
  ];
}

function line({ events, publishedAt, players }: Stage, startedAt: number): string {
  const { healthy, failing, gone } = players;
  return [
    `  ${seconds(startedAt)}: published ${publishedAt.size} of ${events.length}`,
    `${healthy.role.name} ${healthy.receiver.accepted.size} delivered`,
    `${failing.role.name} ${failing.receiver.accepted.size} delivered`,
    `${gone.role.name} ${gone.receiver.requests} × 410`,
  ].join(', ');
}

const seconds = (startedAt: number): string => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;

/** Reads the delivery log, and shows what happened and where to look at it. */
async function tell(stage: Stage): Promise<string[]> {
  const { api, screen, accountId, events, players } = stage;
  const outcomes = {
    healthy: await outcomeOf(stage, players.healthy),
    failing: await outcomeOf(stage, players.failing),
    gone: await outcomeOf(stage, players.gone),
  };
  const { status } = await api.endpoint(accountId, players.gone.endpointId);
  const { header, rule, rows } = table(Object.values(outcomes));
  screen.write('', `  ${screen.bold(header)}`, `  ${screen.dim(rule)}`, ...rows.map((row) => `  ${row}`), '');
  screen.write(...explanations(outcomes).map((text) => `  ${text}`), '');
  screen.write(...(await links(stage)), '');
  return surprises(events.length, outcomes, status);
}

async function outcomeOf(
  { api, accountId, publishedAt }: Stage,
  { role, receiver, endpointId }: Player,
): Promise<Outcome> {
  const latencies = [...receiver.firstSeenAt].flatMap(([eventId, at]) => {
    const published = publishedAt.get(eventId);
    return published === undefined ? [] : [at - published];
  });
  return summarise(role.name, await api.deliveriesOf(accountId, endpointId), receiver, latencies);
}

function explanations({ healthy, failing, gone }: Record<keyof typeof CAST, Outcome>): string[] {
  const [first, second] = RETRY_SCHEDULE;
  const p50 =
    healthy.p50Ms === null ? '' : ` Half of them within ${duration(healthy.p50Ms)} of being published.`;
  return [
    `${healthy.name}: each event arrived, signed.${p50}`,
    `${failing.name}: each event was refused, slept in its workflow for ${first} s and ${second} s, and arrived at its third attempt.`,
    `${' '.repeat(failing.name.length)}  An account's retries are spread, ten a second here, so that what failed leaves room to what is new.`,
    `${gone.name}: 410 says "never again". Posthorn gave up the ${gone.failed} that heard it, disabled the endpoint, and kept`,
    `${' '.repeat(gone.name.length)}  the other ${gone.skipped} as skipped without sending them.`,
  ];
}

/** Where to look; the commands work when pasted, with a key that can only read this account's log. */
async function links({ api, screen, accountId, players }: Stage): Promise<string[]> {
  const expiresAt = new Date(Date.now() + KEY_LASTS_MS);
  const scopes = ['deliveries:read', 'endpoints:read', 'events:read'] as const;
  const key = await api.createKey(accountId, 'look at the demo', [...scopes], expiresAt);
  const log = `${api.url}/v1/accounts/${accountId}/deliveries`;
  const curl = (url: string) => `curl -s '${url}' -H 'Authorization: Bearer ${key}'`;
  const [retried] = await api.deliveriesOf(accountId, players.failing.endpointId);
  const webUrl = retried && (await api.delivery(accountId, retried.id)).workflow.webUrl;
  const query = encodeURIComponent(`PosthornAccount="${accountId}"`);
  return [
    `  ${screen.bold('Look around')}`,
    `    API docs       ${api.url}/docs`,
    ...(webUrl
      ? [
          `    Temporal       ${webUrl.replace(/\/workflows\/.*/, '/workflows')}?query=${query}`,
          `    one delivery   ${webUrl}`,
        ]
      : []),
    '',
    `    The delivery log, and one delivery with all its attempts ${screen.dim('(this key reads this account only, for a day)')}:`,
    '',
    `    ${curl(`${log}?limit=5`)}`,
    ...(retried ? ['', `    ${curl(`${log}/${retried.id}`)}`] : []),
  ];
}
