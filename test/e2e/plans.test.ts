import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { AccountLimitsShown, PlanShown } from '../../src/plans/plans.schema.js';
import { everywhere } from '../support/everywhere.js';
import { type Account, System } from '../support/system.js';
import { until } from '../support/until.js';

const PROBLEM = 'application/problem+json';

describe('plans', () => {
  let system: System;
  let account: Account;
  let count = 0;

  beforeAll(async () => {
    system = await System.start();
  });
  afterAll(() => system.stop());
  beforeEach(async () => {
    account = await system.account();
  });

  const make = (limits: Record<string, unknown>) =>
    system.ok<PlanShown>('POST', '/plans', { name: `plan-${(count += 1)}`, limits });
  const change = async ({ name }: { name: string }, limits: Record<string, unknown>) => {
    const changed = await system.ok<PlanShown>('PATCH', `/plans/${name}`, { limits });
    await everywhere();
    return changed;
  };
  const give = async ({ name }: { name: string }) => {
    await system.ok('PATCH', account.path, { plan: name });
    await everywhere();
  };
  const limits = () => system.ok<AccountLimitsShown>('GET', `${account.path}/limits`);
  const register = (body: Record<string, unknown> = {}) =>
    system.call('POST', `${account.path}/endpoints`, {
      url: 'http://127.0.0.1:4433/',
      paused: true,
      ...body,
    });
  const publish = (body: Record<string, unknown> = {}) =>
    system.call('POST', `${account.path}/events`, { type: 'a.b', data: 1, ...body });

  describe('as a resource', () => {
    it('come as free, standard and enterprise, of which the last limits nothing', async () => {
      const { data } = await system.ok<{ data: PlanShown[] }>('GET', '/plans');
      const shipped = data.filter(({ name }) => !name.startsWith('plan-'));
      expect(shipped.map(({ name }) => name)).toEqual(['enterprise', 'free', 'standard']);
      expect(Object.values(shipped[0]?.limits ?? {}).every((limit) => limit === null)).toBe(true);
      expect(shipped[1]?.limits).toMatchObject({
        endpoints: 5,
        publishPerSecond: 10,
        lanes: ['durable', 'auto'],
      });
    });

    it('are made, changed limit by limit, and deleted', async () => {
      const made = await make({ endpoints: 3, payloadBytes: 100 });
      expect(made.limits).toMatchObject({ endpoints: 3, payloadBytes: 100, attempts: null });
      const changed = await change(made, { endpoints: null, attempts: 4 });
      expect(changed.limits).toMatchObject({ endpoints: null, payloadBytes: 100, attempts: 4 });
      expect(await system.ok('GET', `/plans/${made.name}`)).toEqual(changed);
      expect((await system.call('DELETE', `/plans/${made.name}`)).status).toBe(204);
      expect((await system.call('GET', `/plans/${made.name}`)).status).toBe(404);
      expect((await system.call('DELETE', `/plans/${made.name}`)).status).toBe(404);
      expect((await system.call('PATCH', `/plans/${made.name}`, { limits: {} })).status).toBe(404);
    });

    it('are listed page by page', async () => {
      const names: string[] = [];
      for (let cursor = ''; ;) {
        const page = await system.ok<{ data: PlanShown[]; nextCursor: string | null }>(
          'GET',
          `/plans?limit=2${cursor}`,
        );
        names.push(...page.data.map(({ name }) => name));
        if (page.nextCursor === null) break;
        cursor = `&cursor=${page.nextCursor}`;
      }
      expect(names).toEqual([...new Set(names)].sort());
      expect(names).toEqual(expect.arrayContaining(['enterprise', 'free', 'standard']));
    });

    it.each(['Free', '..%2F', '%00', 'a'.repeat(65), '-x', 'acc_00000000000000000000000000'])(
      'have no name like %s',
      async (name) => {
        for (const [method, body] of [['GET'], ['PATCH', { limits: {} }], ['DELETE']] as const) {
          const { status, body: answer } = await system.call(method, `/plans/${name}`, body);
          expect([method, status, answer.code]).toEqual([method, 404, 'not_found']);
        }
      },
    );

    it.each([
      [{ name: 'UPPER' }, '/name'],
      [{ name: 'x', limits: { endpoints: -1 } }, '/limits/endpoints'],
      [{ name: 'x', limits: { endpionts: 1 } }, '/limits/endpionts'],
      [{ name: 'x', limits: { lanes: ['auto', 'auto'] } }, '/limits/lanes'],
      [{ name: 'x', limits: { priorityCeiling: 'low' } }, '/limits/priorityCeiling'],
    ])('are refused when they are %j', async (body, pointer) => {
      const answer = await system.call('POST', '/plans', body);
      expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed']);
      expect(answer.body.errors).toEqual([expect.objectContaining({ pointer })]);
    });

    it('cannot be made twice, nor deleted while accounts have them or get them by default', async () => {
      const again = await system.call('POST', '/plans', { name: 'free' });
      expect([again.status, again.body.code]).toEqual([409, 'plan_exists']);
      const plan = await make({});
      await give(plan);
      for (const name of [plan.name, 'enterprise']) {
        const refused = await system.call('DELETE', `/plans/${name}`);
        expect([refused.status, refused.body.code]).toEqual([409, 'plan_in_use']);
      }
      await system.ok('PATCH', account.path, { plan: null });
      expect((await system.call('DELETE', `/plans/${plan.name}`)).status).toBe(204);
    });

    it('are for operators alone, and no account gives itself another', async () => {
      const { secret } = await system.ok<{ secret: string }>('POST', `${account.path}/keys`, { name: 'own' });
      const own = { authorization: `Bearer ${secret}` };
      expect((await system.call('GET', '/plans', undefined, own)).status).toBe(403);
      const refused = await system.call('PATCH', account.path, { plan: 'enterprise' }, own);
      expect([refused.status, refused.body.code]).toEqual([403, 'forbidden']);
      expect((await system.call('PATCH', account.path, { name: 'Mine' }, own)).status).toBe(200);
      expect((await system.call('GET', `${account.path}/limits`, undefined, own)).status).toBe(200);
    });
  });

  describe('of an account', () => {
    it('are the default one where it names none, or none that exists', async () => {
      for (const plan of [null, 'gold']) {
        await system.ok('PATCH', account.path, { plan });
        expect(await limits()).toMatchObject({
          plan: 'enterprise',
          limits: { endpoints: null },
          usage: { endpoints: 0, eventsToday: null },
        });
      }
    });

    it('show what is used of their limits', async () => {
      await give({ name: 'standard' });
      await register();
      const deleted = await register();
      await system.ok('DELETE', `${account.path}/endpoints/${String(deleted.body.id)}`);
      await publish();
      await system.ok('POST', `${account.path}/events/batch`, {
        events: [
          { type: 'a.b', data: 1 },
          { type: 'a.b', data: 2 },
        ],
      });
      // What a process expected and did not need is returned within a moment.
      const shown = await until(limits, ({ usage }) => usage.eventsToday === 3);
      expect(shown).toMatchObject({
        plan: 'standard',
        limits: { endpoints: 50, eventsPerDay: 1_000_000 },
        usage: { endpoints: 1 },
      });
    });
  });

  describe('limit endpoints', () => {
    it('to their number, however many are made at once', async () => {
      const plan = await make({ endpoints: 3 });
      await give(plan);
      const answers = await Promise.all(Array.from({ length: 12 }, () => register()));
      const made = answers.filter(({ status }) => status === 201);
      expect(made).toHaveLength(3);
      for (const { status, body, headers } of answers.filter((answer) => !made.includes(answer))) {
        expect(status).toBe(409);
        expect(headers.get('content-type')).toContain(PROBLEM);
        expect(body).toMatchObject({ code: 'endpoint_limit_reached', limit: 'endpoints', plan: plan.name });
        expect(body.detail).toContain(plan.name);
      }
      await system.ok('DELETE', `${account.path}/endpoints/${String(made[0]?.body.id)}`);
      expect((await register()).status).toBe(201);
      expect((await register()).status).toBe(409);
      await change(plan, { endpoints: 4 });
      expect((await register()).status).toBe(201);
    });

    it.each<[string, Record<string, unknown>, Record<string, unknown>, string]>([
      ['attempts', { attempts: 3 }, { retrySchedule: [1, 1, 1] }, '/retrySchedule'],
      ['attempts', { attempts: 3 }, { retrySchedule: 'default' }, '/retrySchedule'],
      ['retrySeconds', { retrySeconds: 60 }, { retrySchedule: [30, 31] }, '/retrySchedule'],
      ['lanes', { lanes: ['durable'] }, { lane: 'express' }, '/lane'],
      ['priorityCeiling', { priorityCeiling: 'normal' }, { priority: 'high' }, '/priority'],
      ['maxInFlight', { maxInFlight: 4 }, { maxInFlight: 5 }, '/maxInFlight'],
    ])('in their %s', async (limit, planLimits, body, pointer) => {
      const plan = await make(planLimits);
      await give(plan);
      const plain = await register();
      expect(plain.status).toBe(201);
      const refusals = [
        await register(body),
        await system.call('PATCH', `${account.path}/endpoints/${String(plain.body.id)}`, body),
      ];
      for (const { status, body: problem } of refusals) {
        expect(status).toBe(422);
        expect(problem).toMatchObject({ code: 'plan_limit_exceeded', limit, plan: plan.name });
        expect(problem.errors).toEqual([expect.objectContaining({ pointer })]);
        expect(problem.detail).toContain(plan.name);
      }
      await change(plan, { [limit]: null });
      expect((await register(body)).status).toBe(201);
    });
  });

  describe('limit events', () => {
    it.each<[string, Record<string, unknown>, Record<string, unknown>, number, string]>([
      ['payloadBytes', { payloadBytes: 10 }, { data: 'x'.repeat(9) }, 413, 'payload_too_large'],
      ['priorityCeiling', { priorityCeiling: 'high' }, { priority: 'critical' }, 422, 'plan_limit_exceeded'],
    ])('in their %s, one by one and in batches', async (limit, planLimits, body, status, code) => {
      const plan = await make(planLimits);
      await give(plan);
      const single = await publish(body);
      const batch = await system.call('POST', `${account.path}/events/batch`, {
        events: [
          { type: 'a.b', data: 1 },
          { type: 'a.b', data: 1, ...body },
        ],
      });
      const field = Object.keys(body)[0] ?? '';
      for (const [answer, pointer] of [
        [single, `/${field}`],
        [batch, `/events/1/${field}`],
      ] as const) {
        expect(answer.status).toBe(status);
        expect(answer.body).toMatchObject({ code, limit, plan: plan.name, errors: [{ pointer }] });
        expect(answer.body.detail).toContain(plan.name);
      }
      expect((await publish()).status).toBe(202);
      await change(plan, { [limit]: null });
      expect((await publish(body)).status).toBe(202);
      const refused = await Promise.all(
        system.processes.map(async (url) => {
          const headers = { authorization: `Bearer ${system.rootKey}` };
          const metrics = await (await fetch(`${url}/metrics`, { headers })).text();
          const [, value] =
            new RegExp(`^posthorn_publishes_refused_total\\{limit="${limit}"\\} (\\d+)$`, 'm').exec(
              metrics,
            ) ?? [];
          return Number(value ?? 0);
        }),
      );
      expect(refused.reduce((sum, each) => sum + each)).toBe(2);
    });

    it('in how many one publish may have', async () => {
      const plan = await make({ batchEvents: 2 });
      await give(plan);
      const batch = (events: number) =>
        system.call('POST', `${account.path}/events/batch`, {
          events: Array.from({ length: events }, () => ({ type: 'a.b', data: 1 })),
        });
      expect((await batch(2)).status).toBe(202);
      expect(await batch(3)).toMatchObject({
        status: 422,
        body: {
          code: 'plan_limit_exceeded',
          limit: 'batchEvents',
          plan: plan.name,
          errors: [{ pointer: '/events' }],
        },
      });
      await change(plan, { batchEvents: 3 });
      expect((await batch(3)).status).toBe(202);
    });
  });
});
