import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { fromId } from '../../src/common/ids.js';
import { Intake } from '../../src/dispatch/intake.js';
import { Reconciler } from '../../src/dispatch/reconciler.js';
import { type Account, System } from '../support/system.js';

const URL = 'http://127.0.0.1:4433/';
const QUIET_UNTIL = '2999-01-01T00:00:00.000Z';

interface Row {
  status: string;
  tell: string | null;
  due: boolean;
  lease: string | null;
}

describe('what a change of an endpoint leaves in the record', () => {
  let system: System;
  let account: Account;
  let endpoint: { id: string };

  const uuid = () => fromId('endpoint', endpoint.id);
  const path = () => `${account.path}/endpoints/${endpoint.id}`;
  const change = (body: Record<string, unknown>) => system.ok('PATCH', path(), body);
  /** Puts all deliveries of the endpoint into a state that they come to in running. */
  const put = (assignments: string) =>
    system.sql(`UPDATE deliveries SET ${assignments} WHERE endpoint_id = $1`, [uuid()]);
  const rows = () =>
    system.sql<Row>(
      `SELECT status, tell, due_at <= now() IS TRUE AS due, lease FROM deliveries WHERE endpoint_id = $1 ORDER BY id`,
      [uuid()],
    );
  const pace = async () => {
    const [row] = await system.sql<{ free_at: Date | null; not_before: Date | null }>(
      'SELECT free_at, not_before FROM endpoint_pace WHERE endpoint_id = $1',
      [uuid()],
    );
    return row && { free: row.free_at?.toISOString() ?? null, quiet: row.not_before?.toISOString() ?? null };
  };

  beforeAll(async () => {
    system = await System.start();
    // Nobody acts on the record, so that it can be looked at.
    await system.get(Reconciler).close();
    await system.get(Intake).close();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
    endpoint = await account.endpoint({ url: URL, paused: true, rateLimit: { perSecond: 1, burst: 2 } });
    await account.publish();
    await system.sql('INSERT INTO endpoint_pace (endpoint_id, free_at, not_before) VALUES ($1, $2, $2)', [
      uuid(),
      QUIET_UNTIL,
    ]);
  });

  const resumed = () => system.sql('UPDATE endpoints SET paused = false WHERE id = $1', [uuid()]);

  it.each([
    ['another rate', { rateLimit: { perSecond: 5, burst: 2 } }],
    ['another burst', { rateLimit: { perSecond: 1, burst: 9 } }],
    ['no limit any more', { rateLimit: null }],
  ])('with %s, reservations are forgotten and what waits for them asks again', async (_, body) => {
    await put(`status = 'retrying', paced = true, due_at = NULL`);
    await change(body);
    expect(await pace()).toEqual({ free: null, quiet: QUIET_UNTIL });
    expect(await rows()).toEqual([{ status: 'retrying', tell: 'pace', due: true, lease: null }]);
  });

  it.each([
    ['the same limit', { rateLimit: { perSecond: 1, burst: 2 } }],
    ['another cap in flight', { maxInFlight: 7 }],
    ['another name', { description: 'mine' }],
  ])('with %s, reservations stand', async (_, body) => {
    await put(`status = 'retrying', paced = true, due_at = NULL`);
    await change(body);
    expect(await pace()).toEqual({ free: QUIET_UNTIL, quiet: QUIET_UNTIL });
    expect(await rows()).toEqual([{ status: 'retrying', tell: null, due: false, lease: null }]);
  });

  it('with another rate, a delivery in its own backoff and one that is to be told something else are left alone', async () => {
    await account.publish();
    const [first, second] = await account.deliveries();
    await put(`status = 'retrying', due_at = NULL`);
    await system.sql('UPDATE deliveries SET paced = true, tell = $2 WHERE id = $1', [
      fromId('delivery', second?.id ?? ''),
      'retry',
    ]);
    await change({ rateLimit: { perSecond: 5 } });
    expect(first?.id).not.toBe(second?.id);
    expect((await rows()).map(({ tell, due }) => [tell, due])).toEqual([
      ['retry', false],
      [null, false],
    ]);
  });

  it.each([
    ['a workflow is held and nobody has it in hand', 'false', 'hold', true, null],
    ['no workflow is held, and its attempt may be under way', 'true', null, false, '7'],
  ])('paused, a delivery with %s', async (_, express, tell, due, lease) => {
    await resumed();
    await put(
      `status = 'pending', express = ${express}, lease = 7, due_at = now() + interval '1 hour', tell = NULL`,
    );
    await change({ paused: true });
    expect(await rows()).toEqual([{ status: 'held', tell, due, lease }]);
  });

  it.each([
    ['a workflow', 'false', 'release'],
    ['no workflow', 'true', null],
  ])('resumed, a delivery with %s is due at once', async (_, express, tell) => {
    await put(`express = ${express}, lease = 7, due_at = NULL`);
    await change({ paused: false });
    expect(await rows()).toEqual([{ status: 'pending', tell, due: true, lease: null }]);
  });

  it('resumed, a delivery that a living process has in hand stays there', async () => {
    const [lease] = await system.sql<{ id: string }>(
      `INSERT INTO leases (expires_at) VALUES (now() + interval '1 minute') RETURNING id`,
    );
    await put(`express = true, lease = ${lease?.id}, due_at = NULL`);
    await change({ paused: false });
    expect(await rows()).toEqual([{ status: 'pending', tell: null, due: false, lease: lease?.id }]);
  });

  it.each([
    ['those that have no workflow', true, { tell: null, due: false }],
    ['those whose workflow is told', false, { tell: 'cancel', due: true }],
  ])(
    'deleted, its deliveries are cancelled and nobody has them in hand: %s',
    async (_, express, expected) => {
      await put(`status = 'pending', express = ${express}, lease = 7, due_at = now()`);
      await system.ok('DELETE', path());
      expect(await rows()).toEqual([{ status: 'cancelled', lease: null, ...expected }]);
    },
  );
});
