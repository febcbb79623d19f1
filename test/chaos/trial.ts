import { until } from '../support/until.js';
import { Cluster } from './cluster.js';
import { type Customer, signUp } from './customers.js';
import { Publisher } from './publisher.js';
import { Receiver } from './receiver.js';
import type { Result } from './report.js';
import type { Scenario, Stage } from './scenarios.js';
import { NotPossibleHere } from './small-disk.js';
import { judge, type Verdict } from './verdict.js';

export type Trial = Pick<Stage, 'spellMs' | 'rounds'> & {
  scenario: Scenario;
  lane: string;
};

const WARM_UP_EVENTS = 40;
/** Published after the fault, so that the system is seen to work and not only to catch up. */
const AFTERWARDS_EVENTS = 40;
const DRAINED_WITHIN_MS = 180_000;
const DRAINED_EVERY_MS = 250;

/** Runs a scenario on a system of its own, under load, and judges it. Logs of one that failed are kept. */
export async function run(trial: Trial, onCluster: (cluster: Cluster) => void): Promise<Result> {
  const { scenario, lane } = trial;
  const startedAtMs = Date.now();
  const result = (verdict: Verdict | null, passed: boolean, note = ''): Result => ({
    scenario: scenario.name,
    what: scenario.what,
    lane,
    verdict,
    passed,
    note,
    seconds: Math.round((Date.now() - startedAtMs) / 1000),
  });
  let cluster: Cluster | undefined;
  let passed = false;
  try {
    cluster = await Cluster.start({ lane, ...diskOf(scenario) }, onCluster);
    const verdict = await put(trial, cluster);
    passed = verdict.passed;
    return result(verdict, passed, passed ? '' : `logs are in ${cluster.folder}`);
  } catch (error) {
    if (error instanceof NotPossibleHere) return result(null, true, error.message);
    return result(null, false, `${(error as Error).message}; logs are in ${cluster?.folder ?? '(none)'}`);
  } finally {
    await cluster?.close({ keepLogs: !passed });
  }
}

const diskOf = ({ diskMegabytes }: Scenario) => (diskMegabytes === undefined ? {} : { diskMegabytes });

async function put({ scenario, spellMs, rounds }: Trial, cluster: Cluster): Promise<Verdict> {
  const receiver = await Receiver.open();
  const customers = await signUp(cluster.api, receiver);
  const publisher = new Publisher(cluster.api, customers);
  try {
    await publisher.accepts(WARM_UP_EVENTS);
    await scenario.run({ cluster, publisher, spellMs, rounds });
    const overAtMs = Date.now();
    await publisher.accepts(AFTERWARDS_EVENTS);
    await publisher.finish();
    await settled(cluster, customers);
    const logs = await Promise.all(customers.map(({ accountId }) => cluster.api.deliveries(accountId)));
    return judge({
      customers,
      published: publisher.ledger,
      received: receiver.ledger,
      log: logs.flat(),
      troubles: cluster.troubles,
      duplicates: scenario.duplicates,
      overAtMs,
    });
  } finally {
    publisher.close();
    await receiver.close();
  }
}

/** Waits until no delivery is open any more. One that stays open is not hidden: it is judged as it stands. */
async function settled({ api }: Cluster, customers: Customer[]): Promise<void> {
  const open = async () => {
    const asked = customers.flatMap(({ accountId }) =>
      (['pending', 'retrying', 'held'] as const).map((status) => api.hasDeliveries(accountId, status)),
    );
    return Promise.all(asked).then(
      (answers) => answers.some(Boolean),
      () => true,
    );
  };
  await until(open, (some) => !some, DRAINED_WITHIN_MS, DRAINED_EVERY_MS).catch(() => undefined);
}
