import { writeFile } from 'node:fs/promises';
import { Client } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { NativeConnection } from '@temporalio/worker';
import { DeliveryRunner } from '../workflow/delivery-runner.js';
import { SCENARIOS } from './scenarios.js';

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
  const runner = await DeliveryRunner.start({ client, connection, now: () => Promise.resolve(Date.now()) });
  try {
    for (const [name, live] of Object.entries(SCENARIOS)) {
      const delivery = await live(runner);
      // However it ends: the history says how.
      await delivery.result().catch(() => undefined);
      const history = historyToJSON(await delivery.handle.fetchHistory());
      await writeFile(new URL(`${name}.json`, HISTORIES), `${withoutStackTraces(history)}\n`);
    }
  } finally {
    await runner.close();
    await connection.close();
  }
}

/** They name the folders of whoever recorded, and nothing reads them. */
const withoutStackTraces = (history: string) =>
  JSON.stringify(
    JSON.parse(history, (key, value: unknown) => (key === 'stackTrace' ? undefined : value)),
    undefined,
    1,
  );
