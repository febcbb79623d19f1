import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { AttemptSummary } from '../../workflows/contracts.js';
import type { Decision } from '../../workflows/schedule.js';
import { fromId } from '../../src/common/ids.js';
import { Recorder } from '../../src/deliveries/recorder.js';
import { ExpressConversions } from '../../src/dispatch/express-conversions.js';
import type { ProcessLease } from '../../src/dispatch/process-lease.js';
import { ITEM } from '../support/dispatch-item.js';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';
import { withoutWorker } from '../support/without-worker.js';

describe('two requests of one attempt, where the delivery was cancelled and retried while the first was out', () => {
  let system: System;
  let account: Account;

  beforeAll(async () => {
    system = await System.start({ env: { POSTHORN_LANE: 'express' } });
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
  });

  const both = async (retrySchedule: number[]) => {
    const open: ServerResponse[] = [];
    const receiver = await Receiver.start((response) => open.push(response));
    await account.endpoint({ url: receiver.url, retrySchedule });
    const event = await account.publish();
    await receiver.got(1);
    const { id } = await account.deliveryOf(event);
    for (const verb of ['cancel', 'retry'])
      await system.ok('POST', `${account.path}/deliveries/${id}/${verb}`);
    await receiver.got(2);
    const answer = (request: 0 | 1, status: number) => open[request]?.writeHead(status).end();
    const becomes = (status: string, statusCode: number) =>
      until(
        () => account.delivery(id),
        (shown) => shown.status === status && shown.attempts[0]?.statusCode === statusCode,
      );
    return { receiver, answer, becomes };
  };

  it.each([
    ['and is to be tried again', [3600], 'retrying'],
    ['and was the last one', [], 'failed'],
  ])('is delivered by the second when the first failed %s', async (_, schedule, status) => {
    const { receiver, answer, becomes } = await both(schedule);
    answer(0, 500);
    await becomes(status, 500);
    answer(1, 200);
    const { attempts, statusReason, nextAttemptAt } = await becomes('delivered', 200);
    expect(attempts.map(({ number, outcome }) => [number, outcome])).toEqual([[1, 'delivered']]);
    expect([statusReason, nextAttemptAt]).toEqual([null, null]);
    await receiver.stop();
  });

  it('stays delivered by the first when the second fails', async () => {
    const { receiver, answer, becomes } = await both([3600]);
    answer(0, 200);
    await becomes('delivered', 200);
    answer(1, 500);
    // By the time that a later delivery has been recorded, so has the second answer.
    receiver.answers((response) => response.end());
    const later = await account.publish();
    await account.deliveryOf(later, ({ status }) => status === 'delivered');
    await becomes('delivered', 200);
    await receiver.stop();
  });
});

describe('a retry by hand of a first attempt that a process has in hand', () => {
  const world = withoutWorker();

  it('is no longer what that process may make without a workflow', async () => {
    const account = await world.system.account();
    await account.endpoint({ url: 'https://example.com/', lane: 'auto' });
    const { id } = await account.deliveryOf(await account.publish());
    const deliveryId = fromId('delivery', id) ?? '';
    const held = `express = false, lease = 7, due_at = now() + interval '1 hour'`;
    await world.system.sql(`UPDATE deliveries SET ${held} WHERE id = $1`, [deliveryId]);
    await world.system.ok('POST', `${account.path}/deliveries/${id}/retry`);
    const record = () =>
      world.system.sql<{ lease: string | null; tell: string | null; next_trigger: string }>(
        'SELECT lease, tell, next_trigger FROM deliveries WHERE id = $1',
        [deliveryId],
      );
    const [told] = await until(record, ([row]) => row?.tell === null);
    expect(told).toEqual({ lease: null, tell: null, next_trigger: 'manual' });

    // Even if it had it still.
    await world.system.sql(`UPDATE deliveries SET ${held} WHERE id = $1`, [deliveryId]);
    const lease = { current: '7' } as unknown as ProcessLease;
    const converted = await new Promise((resolve) =>
      new ExpressConversions(world.database, lease, pino({ level: 'silent' }), resolve).add({
        ...ITEM,
        deliveryId,
      }),
    );
    expect(converted).toBeNull();
  });
});

describe('a retry by hand that has still to be told', () => {
  const world = withoutWorker();

  const ATTEMPT: AttemptSummary = {
    number: 1,
    trigger: 'schedule',
    startedAtMs: 0,
    durationMs: 5,
    outcome: 'transient',
    statusCode: 503,
  };
  const AGAIN: Decision = { kind: 'retry', delayMs: 3_600_000 };
  const OVER: Decision = { kind: 'failed', reason: 'exhausted' };

  /** @returns the delivery as it is once an attempt is recorded that began a minute before the wish, or after it */
  const recorded = async (
    began: 'before' | 'after',
    attempt: Partial<AttemptSummary>,
    decision: Decision,
  ) => {
    const account = await world.system.account();
    await account.endpoint({ url: 'https://example.com/' });
    const { id } = await account.deliveryOf(await account.publish());
    // Nobody tells it before the attempt is recorded.
    await world.system.sql(
      `UPDATE deliveries SET next_trigger = 'manual', tell = 'retry', next_attempt_at = now(),
         due_at = now() + interval '1 hour' WHERE id = $1`,
      [fromId('delivery', id)],
    );
    const startedAtMs = Date.now() + (began === 'before' ? -60_000 : 0);
    const recorder = new Recorder(world.database);
    await recorder.record(
      fromId('delivery', id) ?? '',
      { ...ATTEMPT, startedAtMs, ...attempt },
      decision,
      null,
    );
    const [row] = await world.system.sql(
      `SELECT status, status_reason, tell, next_trigger, budget_start, next_attempt_at <= now() AS now,
         completed_at IS NOT NULL AS completed FROM deliveries WHERE id = $1`,
      [fromId('delivery', id)],
    );
    return row;
  };
  const WISHED = { tell: 'retry', next_trigger: 'manual', now: true, completed: false };

  it('is still told once what was under way is recorded', async () => {
    expect(await recorded('before', {}, AGAIN)).toEqual({
      ...WISHED,
      status: 'retrying',
      status_reason: 'http_503',
      budget_start: 0,
    });
  });

  it('is still told where that was the last attempt, and begins the schedule anew', async () => {
    expect(await recorded('before', {}, OVER)).toEqual({
      ...WISHED,
      status: 'pending',
      status_reason: null,
      budget_start: 1,
    });
  });

  it('is told no more once it has been made, whatever it came to', async () => {
    const done = { tell: null, next_trigger: 'schedule', budget_start: 0 };
    expect(await recorded('after', { trigger: 'manual' }, AGAIN)).toMatchObject({ ...done, now: false });
    expect(await recorded('after', { trigger: 'manual' }, OVER)).toMatchObject({ ...done, status: 'failed' });
  });
});
