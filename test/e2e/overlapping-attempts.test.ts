import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

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
