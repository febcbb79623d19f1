import { writeFile } from 'node:fs/promises';
import { Client, type WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { NativeConnection } from '@temporalio/worker';
import { DeliveryRunner, type Engine } from '../workflow/delivery-runner.js';
import { WatchRunner } from '../workflow/watch-runner.js';
import { SCENARIOS, WATCH_SCENARIOS } from './scenarios.js';

export const HISTORIES = new URL('./histories/', import.meta.url);

/**
 * Lives through every scenario on a real server and writes their histories. The time-skipping server would not do: it
 * drops what the SDK notes about itself in a history, which decides how the SDK replays it.
 *
 * @param address of a server whose namespace `default` has Posthorn's search attributes
 */
export async function recordHistories(address: string): Promise<void> {
  const connection = await NativeConnection.connect({ address });
  const client = new Client({ connection, identity: 'recorder' });
  const engine = { client, connection, now: () => Promise.resolve(Date.now()) };
  const runner = await DeliveryRunner.start(engine);
  try {
    for (const [name, live] of Object.entries(SCENARIOS)) await keep(name, (await live(runner)).handle);
    await Promise.all(
      Object.entries(WATCH_SCENARIOS).map(async ([name, scenario]) =>
        keep(name, await watch(engine, scenario)),
      ),
    );
  } finally {
    await runner.close();
    await connection.close();
  }
}

async function keep(name: string, handle: WorkflowHandle): Promise<void> {
  // However it ends: the history says how.
  await handle.result().catch(() => undefined);
  const history = historyToJSON(await handle.fetchHistory());
  await writeFile(new URL(`${name}.json`, HISTORIES), `${withoutStackTraces(history)}\n`);
}

/** @returns once it has ended */
async function watch(
  engine: Engine,
  { live, looks }: (typeof WATCH_SCENARIOS)[string],
): Promise<WorkflowHandle> {
  const answers = looks.values();
  const look = () => Promise.resolve(answers.next().value ?? null);
  const runner = await WatchRunner.start(engine, {
    reviewEndpoint: look,
    verifyEndpoint: look,
    tendCredentials: look,
    closeWindow: look,
    sendNotifications: () => Promise.resolve(),
  });
  try {
    const handle = await live(runner);
    await handle.result();
    return handle;
  } finally {
    await runner.stop();
  }
}

/** They name the folders of whoever recorded, and nothing reads them. */
const withoutStackTraces = (history: string) =>
  JSON.stringify(
    JSON.parse(history, (key, value: unknown) => (key === 'stackTrace' ? undefined : value)),
    undefined,
    1,
  );
