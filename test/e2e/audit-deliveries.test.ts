import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { AuditEntry } from '../../src/audit/entry.js';
import { Receiver } from '../support/receiver.js';
import { type Account, System } from '../support/system.js';

describe('what people do with deliveries, in the audit log', () => {
  let system: System;
  let account: Account;
  let receiver: Receiver;

  const act = (delivery: { id: string }, verb: 'retry' | 'cancel') =>
    system.call('POST', `${account.path}/deliveries/${delivery.id}/${verb}`);
  const entriesOf = async ({ id }: { id: string }) => {
    const { data } = await system.ok<{ data: AuditEntry[] }>(
      'GET',
      `${account.path}/audit-log?resourceId=${id}`,
    );
    return data.reverse().map(({ action, changes, requestId }) => ({ action, changes, requestId }));
  };

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    receiver = await Receiver.answering(500);
  });
  afterEach(() => receiver.stop());

  it('is a retry that cut a backoff short, with when it would have been, and one that sent it again', async () => {
    await account.endpoint({ url: receiver.url, retrySchedule: [3600] });
    const event = await account.publish();
    const delivery = await account.deliveryOf(event, ({ status }) => status === 'retrying');
    receiver.answers((response) => response.end());
    const cut = await act(delivery, 'retry');
    await account.deliveryOf(event, ({ status }) => status === 'delivered');
    const again = await act(delivery, 'retry');
    expect(await entriesOf(delivery)).toEqual([
      {
        action: 'delivery.retry',
        changes: { nextAttemptAt: { from: delivery.nextAttemptAt, to: expect.any(String) } },
        requestId: cut.headers.get('x-request-id'),
      },
      {
        action: 'delivery.retry',
        changes: { status: { from: 'delivered', to: 'pending' } },
        requestId: again.headers.get('x-request-id'),
      },
    ]);
  });

  it('is a cancel, each time that it is asked for, and nothing that was refused', async () => {
    const endpoint = await account.endpoint({ url: receiver.url, paused: true });
    const delivery = await account.deliveryOf(await account.publish());
    expect((await act(delivery, 'retry')).status).toBe(409);
    expect((await act(delivery, 'cancel')).status).toBe(202);
    expect((await act(delivery, 'cancel')).status).toBe(202);
    expect((await entriesOf(delivery)).map(({ action, changes }) => [action, changes])).toEqual([
      ['delivery.cancel', { status: { from: 'held', to: 'cancelled' } }],
      ['delivery.cancel', {}],
    ]);

    receiver.answers((response) => response.end());
    await system.ok('PATCH', `${account.path}/endpoints/${endpoint.id}`, { paused: false });
    const event = await account.publish();
    const delivered = await account.deliveryOf(event, ({ status }) => status === 'delivered');
    expect((await act(delivered, 'cancel')).status).toBe(409);
    await system.ok('DELETE', `${account.path}/endpoints/${endpoint.id}`);
    expect((await act(delivered, 'retry')).status).toBe(409);
    expect(await entriesOf(delivered)).toEqual([]);
  });
});
