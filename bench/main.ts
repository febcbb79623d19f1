import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, platform, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { PROJECT_ROOT, VERSION } from '../src/common/version.js';
import { FloorSide } from './floor-side.js';
import { compare, type Comparison, type Plan } from './measure.js';
import { PosthornSide } from './posthorn-side.js';
import { Receiver } from './receiver.js';
import { openServers } from './servers.js';

const USAGE = `npm run bench -- [options]

  --events N       deliveries that throughput is measured with, for each side (3000)
  --slices N       turns that the sides take (3)
  --publishers N   starts or publishes under way at once (50)
  --payload N      bytes of an event's data (500)
  --json           print the result as JSON instead of a table
`;

const LIGHT = { perSecond: 20, seconds: 10 };
const TARGET = { ratio: 0.85, p50MoreMs: 5 };

const { values } = readOptions();
const number = (name: 'events' | 'slices' | 'publishers' | 'payload'): number => {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < 1) fail(`--${name} must be a whole number above 0`);
  return value;
};
const payloadBytes = number('payload');
const plan: Plan = {
  events: number('events'),
  slices: number('slices'),
  publishers: number('publishers'),
  light: LIGHT,
};
const progress = (line: string) => process.stderr.write(`… ${line}\n`);

const interrupted = new Promise<never>((_, reject) => {
  const onSignal = () => reject(new Error('interrupted'));
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
});
interrupted.catch(() => undefined);

try {
  const { comparison, servers } = await measure();
  const report = {
    ...comparison,
    settings: { ...plan, payloadBytes, servers },
    machine: machine(),
    version: VERSION,
    at: new Date().toISOString(),
  };
  const folder = join(PROJECT_ROOT, 'bench', 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'latest.json'), `${JSON.stringify(report, null, 2)}\n`);
  process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : table(comparison));
} catch (error) {
  fail((error as Error).message);
}
process.exit();

/** Opens everything, measures, and closes what was opened, last first. */
async function measure(): Promise<{ comparison: Comparison; servers: string }> {
  const opened: { close(): Promise<void> }[] = [];
  const keep = <T extends { close(): Promise<void> }>(resource: T): T => {
    opened.push(resource);
    return resource;
  };
  try {
    const servers = keep(await openServers(process.env, progress));
    const receiver = keep(await Receiver.open());
    const common = { ...servers, receiverUrl: receiver.url, payloadBytes };
    progress('starting the floor and Posthorn, each in a process of its own');
    const floor = keep(
      await FloorSide.open({
        temporalAddress: servers.temporalAddress,
        namespace: servers.namespace,
        receiverUrl: receiver.url,
        payloadBytes,
      }),
    );
    const durable = keep(await PosthornSide.open({ ...common, publishers: plan.publishers }));
    const work = compare({ floor, durable }, receiver, plan, progress);
    return { comparison: await Promise.race([work, interrupted]), servers: servers.kind };
  } finally {
    for (const resource of opened.reverse()) await resource.close();
  }
}

function table({ floor, durable, ratio, slicesRatio }: Comparison): string {
  const row = (name: string, { perSec, p50Ms, p99Ms }: Comparison['floor']) =>
    [name.padEnd(42), perSec.toFixed(1), p50Ms.toFixed(1), p99Ms.toFixed(1)]
      .map((cell, column) => (column === 0 ? cell : cell.padStart(14)))
      .join('');
  const more = durable.p50Ms - floor.p50Ms;
  const met = (reached: boolean) => (reached ? 'reached' : 'missed');
  return [
    '',
    `${''.padEnd(42)}${['deliveries/s', 'p50 at 20/s', 'p99 at 20/s'].map((title) => title.padStart(14)).join('')}`,
    '─'.repeat(84),
    row('floor: bare workflow, one local activity', floor),
    row('Posthorn, durable: POST to receipt', durable),
    '',
    `ratio ${ratio.toFixed(2)} (slices ${slicesRatio.map((value) => value.toFixed(2)).join(', ')}); at least ${TARGET.ratio}: ${met(ratio >= TARGET.ratio)}`,
    `p50 ${more >= 0 ? '+' : ''}${more.toFixed(1)} ms; at most +${TARGET.p50MoreMs} ms: ${met(more <= TARGET.p50MoreMs)}`,
    '',
    'Written to bench/results/latest.json',
    '',
  ].join('\n');
}

function machine(): Record<string, unknown> {
  const processors = cpus();
  return {
    cpu: processors[0]?.model ?? 'unknown',
    cpus: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: platform(),
    node: process.version,
    commit: commit(),
  };
}

function commit(): string | null {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      cwd: PROJECT_ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return null;
  }
}

function readOptions() {
  try {
    return parseArgs({
      options: {
        events: { type: 'string', default: '3000' },
        slices: { type: 'string', default: '3' },
        publishers: { type: 'string', default: '50' },
        payload: { type: 'string', default: '500' },
        json: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    fail(`${(error as Error).message}\n\n${USAGE}`);
  }
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
