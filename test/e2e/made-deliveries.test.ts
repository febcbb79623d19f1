import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { fromId, uuidV7 } from '../../src/common/ids.js';
import type { LaneName } from '../../src/common/lane.js';
import type { Loaded } from '../../src/deliveries/loader.js';
import { madeDeliveries, type MadeEvent } from '../../src/events/made-deliveries.js';
import { askedBy, type NewDeliveryTerms, takesType } from '../../src/events/new-deliveries.js';
import { takesType as filterTakesType } from '../../src/filters/filter-index.js';
import { HOT_PUBLISH, type InsertedRow } from '../../src/events/publish-statements.js';
import type { Account } from '../support/system.js';
import { withoutWorker } from '../support/without-worker.js';

const URL = 'http://127.0.0.1:4433/';
const TERMS: NewDeliveryTerms = { lease: '7', lane: 'express', express: false };
const QUIET_MS = 3_600_000;

describe('the types that endpoints take', () => {
  const world = withoutWorker();

  it('are for PostgreSQL what they are for filters', async () => {
    const name = fc
      .array(fc.constantFrom('a', 'b', 'ab', 'posthorn', '_'), { minLength: 1, maxLength: 4 })
      .map((parts) => parts.join('.'));
    const asked = fc.option(
      fc.array(
        fc.oneof(
          name,
          name.map((type) => `${type}.*`),
        ),
        { maxLength: 4 },
      ),
    );
    const asks = fc.array(fc.record({ type: name, event_types: asked }), { minLength: 1, maxLength: 100 });
    await fc.assert(
      fc.asyncProperty(asks, async (rows) => {
        const taken = await world.database.query<{ takes: boolean }>(
          `SELECT coalesce(${takesType('e.type', `(${askedBy('e.type')})`)}, false) AS takes
            FROM ROWS FROM (json_to_recordset($1::json) AS (type text, event_types text[])) WITH ORDINALITY AS e
            ORDER BY ordinality`,
          [JSON.stringify(rows)],
        );
        expect(taken.map(({ takes }) => takes)).toEqual(
          rows.map(({ type, event_types: types }) => filterTakesType(types, type)),
        );
      }),
      { numRuns: 30 },
    );
  });
});

describe('what is known of a delivery from when it was made', () => {
  const world = withoutWorker();
  let account: Account;

  const type = 'made.now';
  const event = (): MadeEvent => ({
    id: uuidV7(Date.now()),
    type,
    at: new Date(),
    version: '2',
    tags: ['one', 'two'],
    data: '{"text":"\\u0000 ü 𝄞","number":1.50}',
  });
  /** As {@link Publisher} makes them. */
  const make = async (events: MadeEvent[], terms: NewDeliveryTerms = TERMS) => {
    const input = events.map(({ at, ...rest }) => ({
      ...rest,
      account_id: fromId('account', account.id),
      occurred_at: at,
    }));
    const rows = await world.database.prepared<InsertedRow>(HOT_PUBLISH.name, HOT_PUBLISH.text, [
      JSON.stringify(input),
      terms.lease,
      terms.lane,
      terms.express,
    ]);
    const matches = rows.flatMap((row) => row.matches ?? []);
    const endpoints = rows.flatMap((row) => row.endpoints ?? []);
    const known = madeDeliveries(matches, events, endpoints, terms);
    return { ids: matches.map(([id]) => id), endpoints, known };
  };
  const set = (endpoint: { id: string }, columns: string) =>
    world.system.sql(`UPDATE endpoints SET ${columns} WHERE id = $1`, [fromId('endpoint', endpoint.id)]);
  /** But for how much of a quiet time is left, which is read at another moment. */
  const steady = (loaded: Loaded | null | undefined) => {
    const { quiet_ms: quietMs = null, ...rest } = loaded ?? {};
    return { ...rest, isQuiet: quietMs !== null && quietMs > QUIET_MS / 2 && quietMs <= QUIET_MS };
  };

  it.each<[string, Record<string, unknown>, string | null]>([
    ['that is plain', {}, null],
    [
      'with headers and credentials',
      { headers: { 'x-own': 'mine' }, auth: { type: 'bearer', token: 'a-token' } },
      null,
    ],
    ['with limits', { rateLimit: { perSecond: 0.25, burst: 3 }, maxInFlight: 2, timeoutMs: 7000 }, null],
    ['with a schedule of its own', { retrySchedule: [5, 30, 3600] }, null],
    ['with another scheme of signing', {}, `signing = '{"scheme":"hex-hmac-sha256","header":"x-signature"}'`],
    ['that gave leave to the origin', {}, `verification = 'handshake'`],
    ['with a version of the type', {}, `event_versions = '{"made.now":"1","other":"9"}'`],
    ['with a format that shows tags', {}, `format = 'cloudevents-structured'`],
    ['with thin deliveries', {}, `payload = 'thin'`],
    ['with lookups', {}, `lookups = ARRAY['crm', 'billing']`],
    ['with a transformation', {}, `transformation_id = '01900000-0000-7000-8000-000000000001'`],
  ])('is what reading it finds, for an endpoint %s', async (_, body, columns) => {
    account = await world.system.account();
    const endpoint = await account.endpoint({ url: URL, ...body });
    if (columns) await set(endpoint, columns);
    const { ids, known } = await make([event()]);
    expect(ids).toHaveLength(1);
    for (const id of ids) expect(steady(known(id))).toEqual(steady(await world.loader.load(id)));
  });

  it.each<[string, string]>([
    ['two live secrets', 'NULL'],
    ['a secret that has expired', "now() - interval '1 second'"],
  ])('is what reading it finds, with %s', async (_, expiresAt) => {
    account = await world.system.account();
    const endpoint = await account.endpoint({ url: URL });
    await world.system.ok('POST', `${account.path}/endpoints/${endpoint.id}/secret/rotate`);
    await world.system.sql(
      `UPDATE endpoint_secrets SET expires_at = ${expiresAt} WHERE endpoint_id = $1 AND expires_at IS NOT NULL`,
      [fromId('endpoint', endpoint.id)],
    );
    const { ids, known } = await make([event()]);
    for (const id of ids) expect(steady(known(id))).toEqual(steady(await world.loader.load(id)));
    expect(known(ids[0] ?? '')?.secrets).toHaveLength(expiresAt === 'NULL' ? 2 : 1);
  });

  it('is what reading it finds, while the receiver has asked for quiet, and of a test', async () => {
    account = await world.system.account();
    const endpoint = await account.endpoint({ url: URL });
    await world.system.sql(
      `INSERT INTO endpoint_pace (endpoint_id, not_before) VALUES ($1, now() + $2 * interval '1 ms')`,
      [fromId('endpoint', endpoint.id), QUIET_MS],
    );
    await world.system.sql(`UPDATE accounts SET mode = 'test' WHERE id = $1`, [
      fromId('account', account.id),
    ]);
    await set(endpoint, 'test = true');
    const { ids, known } = await make([event()]);
    const [id = ''] = ids;
    expect(steady(known(id))).toMatchObject({ isQuiet: true, test: true });
    expect(steady(known(id))).toEqual(steady(await world.loader.load(id)));
  });

  it('has each endpoint once, however many events go to it', async () => {
    account = await world.system.account();
    await account.endpoint({ url: URL });
    await account.endpoint({ url: URL });
    const { ids, known, endpoints } = await make([event(), event(), event()]);
    expect(ids).toHaveLength(6);
    expect(endpoints).toHaveLength(2);
    for (const id of ids) expect(steady(known(id))).toEqual(steady(await world.loader.load(id)));
  });

  it('is known of no more than 64 endpoints', async () => {
    account = await world.system.account();
    await Promise.all(Array.from({ length: 66 }, () => account.endpoint({ url: URL })));
    const { ids, known } = await make([event()]);
    expect(ids).toHaveLength(66);
    expect(ids.filter((id) => known(id) !== undefined)).toHaveLength(64);
  });

  it.each<[LaneName, LaneName | null, boolean, boolean]>([
    ['express', null, false, true],
    ['durable', null, true, false],
    ['auto', null, false, false],
    ['auto', null, true, true],
    ['express', 'durable', true, false],
    ['durable', 'express', false, true],
    ['durable', 'auto', true, true],
    ['express', 'auto', false, false],
  ])(
    'is there for what goes by express: lane %s, of the endpoint %s, behind %s: %s',
    async (lane, own, express, isThere) => {
      account = await world.system.account();
      const endpoint = await account.endpoint({ url: URL });
      if (own) await set(endpoint, `lane = '${own}'`);
      const { ids, known } = await make([event()], { ...TERMS, lane, express });
      const [id = ''] = ids;
      expect(known(id) !== undefined).toBe(isThere);
      expect(await world.loader.load(id)).toMatchObject({ express: isThere });
    },
  );

  it('is nothing where nobody has the deliveries in hand', async () => {
    account = await world.system.account();
    await account.endpoint({ url: URL });
    expect(await make([event()], { ...TERMS, lease: null })).toMatchObject({ ids: [], endpoints: [] });
  });

  it('spares those that begin at once the reading, and nobody after them', async () => {
    account = await world.system.account();
    await account.endpoint({ url: URL });
    const { ids, known } = await make([event()]);
    const [id = ''] = ids;
    const begun: Promise<unknown>[] = [];
    world.loader.whileKnown(known, performance.now(), () => begun.push(world.loader.load(id)));
    await world.system.sql(`UPDATE deliveries SET status = 'cancelled' WHERE id = $1`, [id]);
    expect(await begun[0]).toMatchObject({ id, status: 'pending' });
    expect(await world.loader.load(id)).toMatchObject({ id, status: 'cancelled' });
  });

  it('is nothing once it was read too long ago', async () => {
    account = await world.system.account();
    await account.endpoint({ url: URL });
    const { ids, known } = await make([event()]);
    const [id = ''] = ids;
    await world.system.sql(`UPDATE deliveries SET status = 'cancelled' WHERE id = $1`, [id]);
    const begun: Promise<unknown>[] = [];
    world.loader.whileKnown(known, performance.now() - 1_000, () => begun.push(world.loader.load(id)));
    expect(await begun[0]).toMatchObject({ id, status: 'cancelled' });
  });

  it('is known of an event with few endpoints, whoever published one with thousands in the same moment', async () => {
    const crowded = await world.system.account();
    await world.system.sql(
      `INSERT INTO endpoints (id, account_id, url, timeout_ms, retry_schedule)
        SELECT gen_random_uuid(), $1, $2, 15000, '[]' FROM generate_series(1, 2001)`,
      [fromId('account', crowded.id), URL],
    );
    account = await world.system.account();
    await account.endpoint({ url: URL });
    const many = { ...event(), account_id: fromId('account', crowded.id) };
    const few = { ...event(), account_id: fromId('account', account.id) };
    const rows = await world.database.prepared<InsertedRow>(HOT_PUBLISH.name, HOT_PUBLISH.text, [
      JSON.stringify([many, few].map(({ at, ...rest }) => ({ ...rest, occurred_at: at }))),
      TERMS.lease,
      TERMS.lane,
      TERMS.express,
    ]);
    expect(new Map(rows.map(({ id, later }) => [id, later]))).toEqual(
      new Map([
        [many.id, true],
        [few.id, false],
      ]),
    );
  });
});
