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
  --lane NAME        one lane alone: ${LANES.join(', ')}
  --scenario NAME    one scenario alone: ${SCENARIOS.map(({ name }) => name).join(', ')}
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
  const lanes = values.lane === undefined ? LANES : LANES.filter((lane) => lane === values.lane);
  if (lanes.length === 0) fail(`There is no lane ${values.lane ?? ''}.`);
  const chosen = SCENARIOS.filter(({ name, short }) =>
    values.scenario === undefined ? !values.short || short : name === values.scenario,
  );
  if (chosen.length === 0) fail(`There is no scenario ${values.scenario ?? ''}.`);
  const measure = values.short ? SHORT : LONG;
  return chosen.flatMap((scenario, index) => {
    const inTurn = lanes[index % lanes.length];
    const through = values.short && inTurn !== undefined ? [inTurn] : lanes;
    return through.map((lane) => ({ ...measure, scenario, lane }));
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
