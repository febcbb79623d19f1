import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { fromId, toId, uuidV7 } from '../../src/common/ids.js';
import type { NotificationShown } from '../../src/notifications/notifications.schema.js';
import { HOLD_MS } from '../../src/plans/allowance.js';
import { everywhere } from '../support/everywhere.js';
import { Receiver } from '../support/receiver.js';
import { Account, type Answer, System } from '../support/system.js';
import { until } from '../support/until.js';

describe('limits of publishing, over two processes', () => {
  let systems: [System, System];
  let account: Account;
  let count = 0;

  beforeAll(async () => {
    const first = await System.start({ env: { POSTHORN_DEFAULT_PLAN: 'standard' } });
    systems = [first, await System.start({ like: first })];
  });
  afterAll(async () => {
    await systems[1].stop();
    await systems[0].stop();
  });
  beforeEach(async () => {
    account = await systems[0].account();
  });

  const stringify = (value: unknown) => JSON.stringify(value);
  const plan = async (limits: Record<string, unknown>) => {
    const name = `plan-${(count += 1)}`;
    await systems[0].ok('POST', '/plans', { name, limits });
    await systems[0].ok('PATCH', account.path, { plan: name });
    await everywhere();
    // The other process knows within a second, and says by which plan it refuses.
    await until(
      () => publish(systems[1], { priority: 'critical' }),
      ({ body }) => body.plan === name,
    );
    return name;
  };
  const change = async (name: string, limits: Record<string, unknown>) => {
    await systems[0].ok('PATCH', `/plans/${name}`, { limits });
    await everywhere();
  };
  const publish = (system: System, body: Record<string, unknown> = {}) =>
    system.call('POST', `${account.path}/events`, { type: 'a.b', data: 1, ...body });
  const publishMany = (system: System, events: number) =>
    system.call('POST', `${account.path}/events/batch`, {
      events: Array.from({ length: events }, () => ({ type: 'a.b', data: 1 })),
    });
  it('go on where the clock of the database was set back', async () => {
    await plan({ publishPerSecond: 20, publishBurst: 20, eventsPerDay: 1000 });
    await systems[0].sql(
      `UPDATE publish_allowances SET debt = 20, used = 10, counted_at = now() + interval '40 days',
         day = (now() AT TIME ZONE 'UTC')::date + 40 WHERE account_id = $1`,
      [fromId('account', account.id)],
    );
    await until(
      () => publish(systems[0]),
      ({ status }) => status === 202,
    );
    const [row] = await systems[0].sql<{ today: boolean; used: number }>(
      `SELECT day = (now() AT TIME ZONE 'UTC')::date AS today, used::int FROM publish_allowances WHERE account_id = $1`,
      [fromId('account', account.id)],
    );
    expect(row?.today).toBe(true);
    expect(row?.used).toBeGreaterThan(10);
  });

  /** As many publishes as this by each process, a few at a time. */
  const flood = async (each: number) => {
    const answers: Answer[] = [];
    await Promise.all(
      systems.flatMap((system) =>
        Array.from({ length: 5 }, async () => {
          for (let left = each / 5; left > 0; left -= 1) answers.push(await publish(system));
        }),
      ),
    );
    return answers;
  };
  const accepted = (answers: Answer[]) => answers.filter(({ status }) => status === 202).length;
  const used = async () => {
    const { usage } = await systems[0].ok<{ usage: { eventsToday: number } }>(
      'GET',
      `${account.path}/limits`,
    );
    return usage.eventsToday;
  };

  it('keep to the rate, however many processes publish', async () => {
    const [perSecond, burst] = [2, 30];
    const name = await plan({ publishPerSecond: perSecond, publishBurst: burst, priorityCeiling: 'high' });
    const sinceMs = Date.now();
    const answers = await flood(100);
    const seconds = (Date.now() - sinceMs + HOLD_MS) / 1000;
    expect(accepted(answers)).toBeLessThanOrEqual(burst + perSecond * seconds);
    expect(accepted(answers)).toBeGreaterThanOrEqual(burst - 5);
    const refused = answers.filter(({ status }) => status !== 202);
    expect(refused.length).toBeGreaterThan(100);
    for (const { status, headers, body } of refused) {
      expect(status).toBe(429);
      expect(body).toMatchObject({ code: 'publish_rate_exceeded', limit: 'publishPerSecond', plan: name });
      expect(body.detail).toContain(name);
      expect(headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
      expect(headers.get('ratelimit-policy')).toBe(`"publish-rate";q=${burst};w=15`);
      expect(headers.get('ratelimit')).toMatch(/^"publish-rate";r=\d+;t=\d+$/);
    }
    // Whoever comes again is taken.
    await until(
      () => publish(systems[1]),
      ({ status }) => status === 202,
    );
  });

  it('keep to the quota of the day exactly, and tell how much of it is left', async () => {
    const perDay = 60;
    const name = await plan({ eventsPerDay: perDay, priorityCeiling: 'high' });
    const first = await publish(systems[0]);
    expect(first.headers.get('ratelimit-policy')).toBe(`"daily-quota";q=${perDay};w=86400`);
    expect(first.headers.get('ratelimit')).toMatch(/^"daily-quota";r=59;t=\d+$/);
    let total = 1 + accepted(await flood(50));
    // What one process holds and does not need it returns.
    await until(
      async () => (total += accepted(await flood(5))),
      () => total >= perDay,
    );
    const [, { status, headers, body }] = [await flood(20), await publish(systems[1])] as const;
    expect(status).toBe(429);
    expect(body).toMatchObject({ code: 'daily_quota_exceeded', limit: 'eventsPerDay', plan: name });
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect(headers.get('ratelimit')).toMatch(/^"daily-quota";r=0;t=\d+$/);
    const [row] = await systems[0].sql<{ count: number }>(
      `SELECT count(*)::int AS count FROM events e JOIN accounts a ON a.id = e.account_id WHERE a.plan = $1 AND e.type = 'a.b'`,
      [name],
    );
    expect([total, row?.count]).toEqual([perDay, perDay]);

    await change(name, { eventsPerDay: perDay + 1 });
    expect((await publish(systems[0])).status).toBe(202);
    await change(name, { eventsPerDay: null });
    for (const system of systems)
      await until(
        () => publish(system),
        (answer) => answer.status === 202 && !answer.headers.has('ratelimit'),
      );
  });

  it('count a batch as its events, and refuse what could never be taken at once', async () => {
    const name = await plan({
      publishPerSecond: 1,
      publishBurst: 10,
      eventsPerDay: 500,
      priorityCeiling: 'high',
    });
    const never = await publishMany(systems[0], 11);
    expect([never.status, never.body.code]).toEqual([422, 'plan_limit_exceeded']);
    expect(never.body).toMatchObject({ limit: 'publishBurst', plan: name, errors: [{ pointer: '/events' }] });
    expect((await publishMany(systems[0], 9)).status).toBe(202);
    expect((await publishMany(systems[1], 10)).status).toBe(429);
    await until(used, (events) => events === 9);
    const [row] = await systems[0].sql<{ count: number }>(
      `SELECT count(*)::int AS count FROM events e JOIN accounts a ON a.id = e.account_id WHERE a.plan = $1 AND e.type = 'a.b'`,
      [name],
    );
    expect(row?.count).toBe(9);
  });

  it('are not used up by what is refused for another reason, nor by the answer to a repeated request', async () => {
    await plan({ eventsPerDay: 500, payloadBytes: 10, priorityCeiling: 'high' });
    expect((await publish(systems[0], { data: 'x'.repeat(20) })).status).toBe(413);
    expect((await publish(systems[0], { type: '' })).status).toBe(422);
    for (let round = 0; round < 3; round += 1) {
      const again = await systems[0].call(
        'POST',
        `${account.path}/events`,
        { type: 'a.b', data: 1 },
        { 'idempotency-key': `once-${account.id}` },
      );
      expect(again.status).toBe(202);
    }
    await until(used, (events) => events === 1);
  });

  it('count nothing of accounts without them, and are those of the default plan where an account names none', async () => {
    const of = (id: string) =>
      systems[0].sql(
        'SELECT 1 FROM publish_allowances p JOIN events e ON e.account_id = p.account_id WHERE e.external_id = $1',
        [id],
      );
    const byDefault = await publish(systems[0], { externalId: `default-${account.id}` });
    expect(byDefault.headers.get('ratelimit-policy')).toContain('"publish-rate";q=1000;w=10');
    expect(await of(`default-${account.id}`)).toHaveLength(1);
    account = await systems[0].account();
    await systems[0].ok('PATCH', account.path, { plan: 'enterprise' });
    await everywhere();
    const unlimited = await publish(systems[0], { externalId: `none-${account.id}` });
    expect([unlimited.status, unlimited.headers.has('ratelimit')]).toEqual([202, false]);
    expect(await of(`none-${account.id}`)).toEqual([]);
  });

  it('do not tell accounts that do not exist from those of others', async () => {
    account = new Account(systems[0], toId('account', uuidV7(Date.now())));
    const { status, body } = await publish(systems[0]);
    expect([status, body.code]).toEqual([404, 'not_found']);
  });

  it('warn once from four fifths on, by a notification', async () => {
    const receiver = await Receiver.start();
    const name = await plan({ eventsPerDay: 10, endpoints: 5, priorityCeiling: 'high' });
    const near = async () => {
      const { data } = await systems[0].ok<{ data: NotificationShown[] }>(
        'GET',
        `${account.path}/notifications`,
      );
      expect(data.every(({ kind, endpointId }) => kind === 'account.limit_near' && endpointId === null)).toBe(
        true,
      );
      return data
        .map(({ data: facts }) => stringify([facts.limit, facts.plan, facts.used, facts.allowed]))
        .sort();
    };
    const endpoint = () => account.endpoint({ url: receiver.url, eventTypes: ['posthorn.*'] });
    const ofEndpoints = stringify(['endpoints', name, 4, 5]);
    for (let made = 0; made < 3; made += 1) await endpoint();
    expect(await near()).toEqual([]);
    const fourth = await endpoint();
    expect(await near()).toEqual([ofEndpoints]);
    await systems[0].ok('DELETE', `${account.path}/endpoints/${fourth.id}`);
    await endpoint();
    await endpoint();

    for (let events = 0; events < 7; events += 1) await publish(systems[0]);
    await until(used, (events) => events === 7);
    for (let events = 0; events < 5; events += 1) await Promise.all(systems.map((system) => publish(system)));
    const told = await until(near, (notices) => notices.length > 1);
    expect(told).toHaveLength(2);
    expect(told[0]).toMatch(new RegExp(`^\\["endpoints","${name}",4,5\\]$`));
    expect(told[1]).toMatch(new RegExp(`^\\["eventsPerDay","${name}",(8|9|10),10\\]$`));
    const received = (await receiver.got(1)).map(({ body }) => body);
    expect(received[0]).toContain('posthorn.account.limit_near');
    await receiver.stop();
  });
});
