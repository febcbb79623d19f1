/**
 * Replays kept histories with the workflow as it stands. Whatever fails here would fail for deliveries that are under
 * way when the change is deployed: guard the change with `patched()` and keep the histories.
 *
 * Only a change that no running delivery can meet may be recorded anew:
 *
 *     POSTHORN_RECORD_HISTORIES=1 npm test -- test/replay
 *
 * A new scenario is added to `scenarios.ts` and recorded so, too.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Runtime, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { quietRuntime } from '../workflow/quiet-runtime.js';
import { workflowBundle } from '../workflow/workflow-bundle.js';
import { HISTORIES, recordHistories } from './recorder.js';
import { SCENARIOS, WATCH_SCENARIOS } from './scenarios.js';

beforeAll(async () => {
  quietRuntime();
  if (process.env.POSTHORN_RECORD_HISTORIES !== '1') return;
  const address = process.env.POSTHORN_TEST_TEMPORAL_ADDRESS;
  if (address === undefined)
    throw new Error(
      'POSTHORN_TEST_TEMPORAL_ADDRESS is not set: the address of a Temporal server to record on',
    );
  await recordHistories(address);
}, 300_000);
afterAll(() => Runtime.instance().shutdown());

interface KeptHistory {
  events: { eventType: string; activityTaskScheduledEventAttributes?: { activityType: { name: string } } }[];
}

const kept = (name: string) =>
  JSON.parse(readFileSync(new URL(`${name}.json`, HISTORIES), 'utf8')) as KeptHistory;

async function replay(name: string, history: KeptHistory): Promise<void> {
  await Worker.runReplayHistory({ workflowBundle: await workflowBundle() }, history, name);
}

// Histories of scenarios that are no longer lived through stay, as long as such deliveries may be under way.
const names = new Set([
  ...Object.keys(SCENARIOS),
  ...Object.keys(WATCH_SCENARIOS),
  ...readdirSync(HISTORIES).map((file) => file.replace('.json', '')),
]);

test.each([...names])('what was %s is understood by the workflow as it stands', async (name) => {
  const history = kept(name);
  expect(history.events.at(-1)?.eventType).toMatch(
    /^EVENT_TYPE_WORKFLOW_EXECUTION_(COMPLETED|FAILED|CANCELED)$/,
  );
  await replay(name, history);
});

test('a delivery that did what the workflow would not do is noticed', async () => {
  const history = kept('failed-twice-then-delivered');
  for (const { activityTaskScheduledEventAttributes: scheduled } of history.events)
    if (scheduled) scheduled.activityType.name = 'anotherActivity';
  await expect(replay('changed', history)).rejects.toBeInstanceOf(DeterminismViolationError);
});
