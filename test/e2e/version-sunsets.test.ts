import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Maintenance } from '../../src/database/maintenance.js';
import type { EndpointShown } from '../../src/endpoints/endpoints.schema.js';
import type { NotificationShown } from '../../src/notifications/notifications.schema.js';
import { type Account, System } from '../support/system.js';

const DAY_MS = 86_400_000;
const inDays = (days: number) => new Date(Date.now() + days * DAY_MS).toISOString();

describe('the sunset of a version', () => {
  const url = 'http://127.0.0.1:4433/';
  let system: System;
  let account: Account;
  let serial = 0;
  /** An event type that no other test knows. */
  let type: string;

  const put = (body: Record<string, unknown>) => system.ok('PUT', `/event-types/${type}`, body);
  const patchVersion = (version: string, body: Record<string, unknown>) =>
    system.ok('PATCH', `/event-types/${type}/versions/${version}`, body);
  const endpoint = (body: Record<string, unknown> = {}) =>
    account.endpoint({ url, eventTypes: [type], ...body });
  const run = () => system.get(Maintenance).run();
  const notifications = async () =>
    (await system.ok<{ data: NotificationShown[] }>('GET', `${account.path}/notifications`)).data;

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    serial += 1;
    type = `sunset.type${serial}`;
    account = await system.account();
  });

  it('is told to the owners of endpoints that pin it, once for each time', async () => {
    const told = async () =>
      (await notifications()).map(({ kind, endpointId, data }) => ({ kind, endpointId, ...data }));
    await put({ versions: [{ version: '1' }, { version: '2' }] });
    const pinned = await endpoint({ eventVersions: { [type]: '1' } });
    await endpoint();
    await patchVersion('1', { sunsetAt: inDays(91) });
    await run();
    expect(await told()).toEqual([]);
    const dates = [inDays(89), inDays(6)];
    for (const sunsetAt of dates) {
      await patchVersion('1', { sunsetAt });
      await Promise.all([run(), run()]);
      await run();
    }
    const notice = {
      kind: 'event_type.sunset',
      endpointId: pinned.id,
      endpointOrigin: 'http://127.0.0.1:4433',
      eventType: type,
      version: '1',
      afterSunset: 'stop',
    };
    expect(await told()).toEqual([
      { ...notice, days: 7, sunsetAt: dates[1] },
      { ...notice, days: 90, sunsetAt: dates[0] },
    ]);
  });

  it('is told again as it comes nearer, and not when it is there', async () => {
    await put({ versions: [{ version: '1' }] });
    await endpoint();
    await patchVersion('1', { sunsetAt: inDays(80) });
    for (const [days, count] of [
      [80, 1],
      [31, 1],
      [29, 2],
      [8, 2],
      [6, 3],
      [0, 3],
      [-1, 3],
    ] as const) {
      // As if that much time had passed.
      await system.sql(
        `UPDATE event_type_versions SET sunset_at = now() + $2 * interval '1 day' WHERE type = $1`,
        [type, days],
      );
      await run();
      expect([days, (await notifications()).length]).toEqual([days, count]);
    }
  });

  it('moves the pins that are to move, and no others', async () => {
    await put({ versions: [{ version: '1', afterSunset: 'move' }, { version: '2' }, { version: '3' }] });
    const pins = await Promise.all(
      ['1', '2', '3'].map((pin) => endpoint({ eventVersions: { [type]: pin } })),
    );
    await patchVersion('1', { sunsetAt: inDays(-1) });
    await patchVersion('2', { sunsetAt: inDays(-1) });
    await run();
    const shown = await Promise.all(
      pins.map(({ id }) => system.ok<EndpointShown>('GET', `${account.path}/endpoints/${id}`)),
    );
    expect(shown.map(({ eventVersions }) => eventVersions[type])).toEqual(['3', '2', '3']);
  });

  it('forgets counts that nobody asks for any more', async () => {
    await put({});
    const add = `INSERT INTO event_type_usage VALUES ($1, now() - $2 * interval '1 day', '', 1, 0)`;
    await system.sql(add, [type, 9]);
    await system.sql(add, [type, 2]);
    expect(await system.ok('GET', `/event-types/${type}/usage`)).toMatchObject({
      versions: [],
      others: { events: { last24Hours: 0, last7Days: 1 } },
    });
    await run();
    expect(await system.sql('SELECT FROM event_type_usage WHERE type = $1', [type])).toHaveLength(1);
  });
});
