import { beforeEach, describe, expect, it } from '@jest/globals';
import { fromId } from '../../src/common/ids.js';
import { CLAIM_FRESH } from '../../src/dispatch/intake.js';
import { CLAIM_DUE } from '../../src/dispatch/reconciler.js';
import type { Account } from '../support/system.js';
import { until } from '../support/until.js';
import { withoutWorker } from '../support/without-worker.js';

/** More than a request waits for. */
const MANY = 21_500;
const URL = 'http://127.0.0.1:4433/';

interface PlanNode {
  'Rows Removed by Filter'?: number;
  Plans?: PlanNode[];
}

const lookedPast = (node: PlanNode): number =>
  (node['Rows Removed by Filter'] ?? 0) + (node.Plans ?? []).reduce((sum, plan) => sum + lookedPast(plan), 0);

describe('the open deliveries of an endpoint, however many', () => {
  const world = withoutWorker();
  let account: Account;
  let endpoint: { id: string; path: string };
  let other: { id: string; path: string };

  const make = async () => {
    const { id } = await account.endpoint({ url: URL });
    return { id, path: `${account.path}/endpoints/${id}` };
  };
  /** Express ones, which no workflow has; half of them have been tried. Every tenth is over. */
  const addDeliveries = ({ id }: { id: string }, count: number) =>
    world.system.sql(
      `INSERT INTO deliveries (id, account_id, event_id, endpoint_id, event_type, status, attempt_count, express, paced)
        SELECT posthorn_uuid_v7(), $1, posthorn_uuid_v7(), $2, 'some.type',
          CASE WHEN n % 10 = 0 THEN 'delivered' WHEN n % 2 = 0 THEN 'pending' ELSE 'retrying' END, n % 2, true, n % 4 = 0
        FROM generate_series(1, $3) n`,
      [fromId('account', account.id), fromId('endpoint', id), count],
    );
  const counts = async ({ id }: { id: string }) => {
    const rows = await world.system.sql<{ what: string; count: number }>(
      `SELECT concat_ws(' ', status, status_reason) AS what, count(*)::int AS count FROM deliveries
        WHERE endpoint_id = $1 GROUP BY 1`,
      [fromId('endpoint', id)],
    );
    return Object.fromEntries(rows.map(({ what, count }) => [what, count]));
  };
  /** Until all have followed. */
  const followed = async (expected: Record<string, number>) => {
    const found = await until(
      () => counts(endpoint),
      (now) => Object.keys(expected).every((what) => now[what] === expected[what]),
    );
    expect(found).toEqual(expected);
  };

  beforeEach(async () => {
    account = await world.system.account();
    other = await make();
    endpoint = await make();
    await addDeliveries(other, 20);
    await addDeliveries(endpoint, MANY / 2);
    await addDeliveries(other, 1_500);
    await addDeliveries(endpoint, MANY / 2);
  });

  const OVER = { delivered: MANY / 10 };

  it('are held and let go page by page, and those of no other are', async () => {
    const before = await counts(other);
    await world.system.ok('PATCH', endpoint.path, { paused: true });
    await followed({ ...OVER, 'held endpoint_paused': MANY * 0.9 });
    await world.system.ok('PATCH', endpoint.path, { paused: false });
    await followed({ ...OVER, pending: MANY * 0.4, retrying: MANY * 0.5 });
    expect(await counts(other)).toEqual(before);
  });

  it('follow the latest of two changes, the first of which they have not all followed', async () => {
    await world.system.ok('PATCH', endpoint.path, { paused: true });
    await world.system.ok('PATCH', endpoint.path, { paused: false });
    await world.system.ok('PATCH', endpoint.path, { paused: true });
    await followed({ ...OVER, 'held endpoint_paused': MANY * 0.9 });
  });

  it('are cancelled with it', async () => {
    const before = await counts(other);
    await world.system.ok('DELETE', endpoint.path);
    await followed({ ...OVER, 'cancelled endpoint_deleted': MANY * 0.9 });
    expect(await counts(other)).toEqual(before);
    // No workflow has any of them: none is to be looked past by those who look for what is due.
    const due = 'endpoint_id = $1 AND (tell IS NOT NULL OR due_at IS NOT NULL)';
    const [row] = await world.system.sql<{ count: number }>(
      `SELECT count(*)::int AS count FROM deliveries WHERE ${due}`,
      [fromId('endpoint', endpoint.id)],
    );
    expect(row?.count).toBe(0);
    await until(
      () =>
        world.system.sql('SELECT FROM backlog_changes WHERE endpoint_id = $1', [
          fromId('endpoint', endpoint.id),
        ]),
      (left) => left.length === 0,
    );
  });

  it.each([
    ['fresh ones', `tell = 'release'`, CLAIM_FRESH, [900, 100, 1, [], 'auto', false, [], false]],
    ['those that workflows are told of', `status = 'pending', attempt_count = 0`, CLAIM_DUE, [400, 100]],
  ])('are not looked past by who looks for %s', async (_, others, statement, parameters) => {
    await world.system.sql(
      `UPDATE deliveries SET express = false, due_at = now(), ${others} WHERE endpoint_id = $1`,
      [fromId('endpoint', endpoint.id)],
    );
    await world.system.sql('ANALYZE deliveries');
    const [row] = await world.system.sql<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
      `EXPLAIN (ANALYZE, FORMAT JSON) ${statement}`,
      parameters,
    );
    expect(row && lookedPast(row['QUERY PLAN'][0].Plan)).toBe(0);
  });

  it('follow where whoever changed it has died before it could see to them', async () => {
    await world.system.sql(`UPDATE endpoints SET disabled_reason = 'gone' WHERE id = $1`, [
      fromId('endpoint', endpoint.id),
    ]);
    await world.system.sql(`INSERT INTO backlog_changes (endpoint_id, kinds) VALUES ($1, '{state}')`, [
      fromId('endpoint', endpoint.id),
    ]);
    await followed({ ...OVER, 'skipped endpoint_disabled': MANY * 0.9 });
  });

  it('ask again where the rate has changed', async () => {
    await world.system.ok('PATCH', endpoint.path, { rateLimit: { perSecond: 5 } });
    const told = await until(
      () =>
        world.system.sql<{ endpoint_id: string; count: number }>(
          `SELECT endpoint_id, count(*)::int AS count FROM deliveries
            WHERE account_id = $1 AND tell = 'pace' GROUP BY 1`,
          [fromId('account', account.id)],
        ),
      ([first]) => first?.count === MANY / 5,
    );
    expect(told).toHaveLength(1);
  });
});
