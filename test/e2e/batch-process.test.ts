import { describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { BatchContents } from '../../src/batches/batch-contents.js';
import { BatchSealer } from '../../src/batches/batch-sealer.js';
import { fromId } from '../../src/common/ids.js';
import { Retention } from '../../src/database/retention.js';
import { isBatch, Loader } from '../../src/deliveries/loader.js';
import { eachCollecting, numbersIn } from '../support/batches.js';
import type { System } from '../support/system.js';
import { until } from '../support/until.js';

describe('what one process does with events that are sent together', () => {
  const world = eachCollecting();

  it('collects again what there is no time to shape', async () => {
    const endpoint = await world.collecting.endpoint({ maxEvents: 3 }, { paused: true });
    const events = [
      await world.collecting.publish(1),
      await world.collecting.publish(2),
      await world.collecting.publish(3),
    ];
    const first = await world.collecting.batchOf(events[0] ?? { id: '' });
    const loaded = await world.system.get(Loader).load(fromId('delivery', first.id) ?? '');
    if (!loaded || !isBatch(loaded)) throw new Error('there is no such batch');
    expect(await world.system.get(BatchContents).fill(loaded, 0)).toMatchObject({ kind: 'emptied' });
    expect(await world.collecting.account.delivery(first.id)).toMatchObject({
      status: 'skipped',
      statusReason: 'batch_empty',
    });
    for (const event of events)
      await world.collecting.account.deliveryOf(
        event,
        ({ batchId }) => batchId !== null && batchId !== first.id,
      );
    await world.collecting.change(endpoint, { paused: false });
    const [received] = await world.receiver.got(1);
    expect(received && numbersIn(received)).toEqual([1, 2, 3]);
  });

  it('leaves a window that was opened while others were being sealed', async () => {
    const { id } = await world.collecting.endpoint({ maxEvents: 10 });
    const endpointId = fromId('endpoint', id) ?? '';
    const windows = () =>
      world.system.sql<{ id: string }>('SELECT id FROM batch_windows WHERE endpoint_id = $1', [endpointId]);
    const first = await world.collecting.publish(1);
    const { id: item } = await world.account.deliveryOf(first);
    await until(windows, ({ length }) => length === 1);
    // As it is until the collector has counted what has come.
    await world.system.sql('DELETE FROM batch_windows WHERE endpoint_id = $1', [endpointId]);
    const blocker = new pg.Client(world.system.databaseUrl);
    await blocker.connect();
    try {
      await blocker.query('BEGIN');
      await blocker.query('SELECT FROM deliveries WHERE id = $1 FOR UPDATE', [fromId('delivery', item)]);
      const sealing = world.system.get(BatchSealer).seal(endpointId, true);
      await until(
        () =>
          world.system.sql(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%octet_length%'",
          ),
        ({ length }) => length === 1,
      );
      await world.collecting.publish(2);
      const [opened] = await until(windows, ({ length }) => length === 1);
      await blocker.query('COMMIT');
      expect(await sealing).toMatchObject({ id: opened?.id });
      expect(await windows()).toEqual([opened]);
    } finally {
      await blocker.end();
    }
  });

  it('removes batches once the events that they carried are kept no longer', async () => {
    await world.collecting.endpoint({ maxEvents: 2 });
    const event = await world.collecting.publish(1);
    await world.collecting.publish(2);
    await world.collecting.item(event, 'delivered');
    const collected = await world.collecting.publish(3);
    await world.collecting.account.deliveryOf(collected);
    await age(world.system, 100);
    await world.system.get(Retention).run();
    expect((await world.collecting.account.deliveries()).map(({ eventId }) => eventId !== null)).toEqual([
      true,
    ]);
    const accountId = fromId('account', world.account.id);
    expect(await world.system.sql('SELECT FROM batches WHERE account_id = $1', [accountId])).toHaveLength(0);
  });
});

/** Makes all that there is older by so many days. */
async function age(system: System, days: number): Promise<void> {
  const older = (column: string) =>
    `(lpad(to_hex(('x' || left(replace(${column}::text, '-', ''), 12))::bit(48)::bigint - ${days} * 86400000::bigint), 12, '0')
      || right(replace(${column}::text, '-', ''), 20))::uuid`;
  await system.sql(
    `UPDATE deliveries SET id = ${older('id')}, event_id = ${older('event_id')}, batch_id = ${older('batch_id')}`,
  );
  await system.sql(`UPDATE batches SET id = ${older('id')}`);
  await system.sql(`UPDATE events SET id = ${older('id')}`);
  await system.sql(`UPDATE attempts SET delivery_id = ${older('delivery_id')}`);
}
