import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { LANES } from '../../src/common/lane.js';
import { PROJECT_ROOT, VERSION } from '../../src/common/version.js';
import type { Cluster } from './cluster.js';
import { type Result, tableOf } from './report.js';
import { SCENARIOS } from './scenarios.js';
import { run, type Trial } from './trial.js';

const USAGE = `npm run test:chaos -- [options]

  --short            the most telling scenarios, the lanes in turn: at most five minutes
  --lane NAMES       these lanes alone, separated by commas: ${LANES.join(', ')}
  --scenario NAMES   these scenarios alone: ${SCENARIOS.map(({ name }) => name).join(', ')}
  --json             print the results as JSON instead of a table
`;

const LONG = { spellMs: 30_000, rounds: 3 };
const SHORT = { spellMs: 8_000, rounds: 1 };

const { values } = readOptions();
const trials = plan();
const current: { cluster?: Cluster } = {};
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    current.cluster?.kill9();
    process.exit(130);
  });
}

const results: Result[] = [];
for (const [index, trial] of trials.entries()) {
  say(`… ${index + 1}/${trials.length} ${trial.scenario.name}, ${trial.lane}: ${trial.scenario.what}`);
  const result = await run(trial, (cluster) => {
    current.cluster = cluster;
  });
  results.push(result);
  const how = result.passed ? (result.verdict ? 'passed' : 'not possible here') : 'FAILED';
  say(`  ${how} after ${result.seconds} s`);
}
const report = { results, short: values.short, version: VERSION, at: new Date().toISOString() };
const folder = join(PROJECT_ROOT, 'test', 'chaos', 'results');
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'latest.json'), `${JSON.stringify(report, null, 2)}\n`);
process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : `${tableOf(results)}\n`);
process.exit(results.every(({ passed }) => passed) ? 0 : 1);

function plan(): Trial[] {
  const lanes = chosen(values.lane, LANES) ?? LANES;
  const named = chosen(
    values.scenario,
    SCENARIOS.map(({ name }) => name),
  );
  const scenarios = SCENARIOS.filter(({ name, short }) =>
    named ? named.includes(name) : !values.short || short,
  );
  const measure = values.short ? SHORT : LONG;
  return scenarios.flatMap((scenario, index) => {
    const inTurn = lanes[index % lanes.length];
    const through = values.short && inTurn !== undefined ? [inTurn] : lanes;
    return through.map((lane) => ({ ...measure, scenario, lane }));
  });
}

/** @returns what an option's list names, each of it one of `known`; undefined without the option */
function chosen<Name extends string>(list: string | undefined, known: readonly Name[]): Name[] | undefined {
  return list?.split(',').map((name) => {
    const found = known.find((one) => one === name);
    return found ?? fail(`There is no ${name}.`);
  });
}

function readOptions() {
  try {
    return parseArgs({
      options: {
        short: { type: 'boolean', default: false },
        lane: { type: 'string' },
        scenario: { type: 'string' },
        json: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    fail((error as Error).message);
  }
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

function fail(message: string): never {
  say(`${message}\n\n${USAGE}`);
  process.exit(2);
}
