import { Client } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { NativeConnection } from '@temporalio/worker';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  ACCOUNT_ATTRIBUTE,
  type DeliveryResult,
  logQuery,
  retryNowUpdate,
} from '../../workflows/contracts.js';
import { testServers } from '../support/servers.js';
import { until } from '../support/until.js';
import { DeliveryRunner, PRIORITY } from './delivery-runner.js';
import { quietRuntime } from './quiet-runtime.js';
import { answers, type Reply, times } from './scripted-receiver.js';

// On a real server: the time-skipping one never finds a history too long.
let connection: NativeConnection;
let client: Client;
let runner: DeliveryRunner;
beforeAll(async () => {
  quietRuntime();
  connection = await NativeConnection.connect({ address: testServers().temporalAddress });
  client = new Client({ connection });
  runner = await DeliveryRunner.start({ client, connection, now: () => Promise.resolve(Date.now()) });
});
afterAll(async () => {
  await runner.close();
  await connection.close();
});

const CONTINUED_AS_NEW = temporal.api.enums.v1.EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW;
/** What Temporal finds too long, in events. */
const TOO_LONG = 4_096;
const AT_ONCE = 128;
const HOUR = 60 * 60 * 1_000;

const putOff: Reply = ({ nowMs }) =>
  Promise.resolve({ kind: 'deferred', waitMs: HOUR, slotAtMs: nowMs + HOUR, crowdedOut: 7 });

test('a delivery whose history has grown too long goes on in a new run, as what it was', async () => {
  const delivery = await runner.deliver([answers(503), putOff, answers(200)], { schedule: [0.01] });
  await delivery.sleeps(2);
  const before = await delivery.log();
  for (let signals = 0; signals < TOO_LONG; signals += AT_ONCE)
    await Promise.all(times(AT_ONCE, null).map(() => delivery.hold()));
  await delivery.release();

  const handle = client.workflow.getHandle<() => Promise<DeliveryResult>>(delivery.handle.workflowId);
  const description = await until(
    () => handle.describe(),
    ({ runId }) => runId !== delivery.runId,
  );
  expect((await delivery.history()).at(-1)?.eventType).toBe(CONTINUED_AS_NEW);
  const { accountId } = delivery.ids;
  expect(description.typedSearchAttributes.get(ACCOUNT_ATTRIBUTE)).toBe(accountId);
  expect(description.priority).toMatchObject({ priorityKey: PRIORITY, fairnessKey: accountId });
  const log = await handle.query(logQuery);
  expect(log).toMatchObject({ state: 'waiting', attempts: before.attempts });
  expect(log.attempts).toHaveLength(1);
  expect(Math.abs((log.nextAttemptAtMs ?? 0) - (before.nextAttemptAtMs ?? 0))).toBeLessThan(HOUR / 60);

  await handle.executeUpdate(retryNowUpdate, { args: [0] });
  expect(await handle.result()).toEqual({ status: 'delivered', attempts: 2 });
  const { seen } = delivery.receiver;
  expect(seen.map(({ number }) => number)).toEqual([1, 2, 2]);
  expect(seen[2]).toMatchObject({ trigger: 'manual', crowdedOut: 7, local: false });
  expect(seen[2]?.slotAtMs).toBe((seen[1]?.atMs ?? 0) + HOUR);
});
