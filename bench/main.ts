import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT, VERSION } from '../src/common/version.js';
import { Bench } from './bench.js';
import { machine } from './machine.js';
import { type Options, readOptions, type ScenarioName, USAGE } from './options.js';
import { renderReport, type Report } from './report.js';
import { fanout } from './scenarios/fanout.js';
import { latency } from './scenarios/latency.js';
import { match } from './scenarios/match.js';
import { noisy } from './scenarios/noisy.js';
import { pacing } from './scenarios/pacing.js';
import { priority } from './scenarios/priority.js';
import { sleeping } from './scenarios/sleeping.js';
import { throughput } from './scenarios/throughput.js';
import { transform } from './scenarios/transform.js';

const RUN: Record<ScenarioName, (bench: Bench) => Promise<Report>> = {
  throughput,
  latency,
  noisy,
  fanout,
  sleeping,
  priority,
  pacing,
  transform,
  match,
};
const RESULTS = join('bench', 'results');

const options = optionsOrExit();
const interrupted = new Promise<never>((_, reject) => {
  const onSignal = () => reject(new Error('interrupted'));
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
});
interrupted.catch(() => undefined);

try {
  for (const scenario of options.scenarios) {
    const bench = new Bench(options, (line) => process.stderr.write(`… ${line}\n`), interrupted);
    const report = await RUN[scenario](bench);
    const line = JSON.stringify({
      scenario,
      at: new Date().toISOString(),
      version: VERSION,
      machine: machine(),
      servers: bench.serversKind,
      settings: options,
      figures: report.figures,
      targets: report.targets,
    });
    const file = keep(scenario, line);
    process.stdout.write(
      options.json ? `${line}\n` : `${renderReport(scenario, report)}\nAdded to ${file}\n`,
    );
  }
} catch (error) {
  fail((error as Error).message);
}
process.exit();

function keep(scenario: ScenarioName, line: string): string {
  mkdirSync(join(PROJECT_ROOT, RESULTS), { recursive: true });
  const file = join(RESULTS, `${scenario}.jsonl`);
  appendFileSync(join(PROJECT_ROOT, file), `${line}\n`);
  return file;
}

function optionsOrExit(): Options {
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    process.stdout.write(USAGE);
    process.exit();
  }
  try {
    return readOptions(args);
  } catch (error) {
    fail(`${(error as Error).message}\n\n${USAGE}`);
  }
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
