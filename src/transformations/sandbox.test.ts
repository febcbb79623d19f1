import { afterAll, beforeAll, describe, expect, it, test } from '@jest/globals';
import { Sandbox, SandboxBusyError } from './sandbox.js';
import type { Program, TransformationInput } from './transformation.js';

const input = (event = '{"data":{"amount":1}}'): TransformationInput => ({
  event,
  eventId: 'evt_1',
  nowMs: 0,
  endpoint: { id: 'ep_1', url: 'https://hooks.example.com/' },
  maxBodyBytes: 1_000_000,
});
const owner = (name: string) => ({ accountId: `account of ${name}`, endpointId: name });
const javascript = (body: string): Program => ({
  kind: 'javascript',
  code: `function transform(event) { ${body} }`,
});
const HEALTHY = javascript('return { body: event.data.amount }');
/** Its interpreter does not notice that its time is over. */
const UNSTOPPABLE = javascript('[].sort.call({ length: 1e9 })');

describe('the sandbox', () => {
  let sandbox: Sandbox;
  beforeAll(() => {
    sandbox = new Sandbox();
  });
  afterAll(() => sandbox.close());

  const run = (program: Program, name: string, given = input()) =>
    sandbox.run({ kind: 'run', program, input: given }, owner(name));

  it('runs programs on other threads', async () => {
    expect(await run(HEALTHY, 'well')).toMatchObject({ ok: true, transformed: { body: '1' } });
    const declarative = await run(
      { kind: 'declarative', spec: { headers: { 'x-a': '{{ event.data.amount }}' } } },
      'well',
    );
    expect(declarative).toMatchObject({ ok: true, transformed: { headers: { 'x-a': '1' } } });
  });

  test.each<[string, Program, TransformationInput, string]>([
    ['sorts a billion nothings', UNSTOPPABLE, input(), 'ran longer than 100 ms'],
    [
      'fills its memory with garbage',
      javascript('const a = []; for (;;) a.push("x".repeat(100000) + a.length)'),
      input(),
      '',
    ],
    ['prints what never ends', javascript('return { body: "\\u0001".repeat(5e6) }'), input(), ''],
    [
      'is nested 100,000 levels deep',
      javascript('return { body: event }'),
      input(`${'['.repeat(100_000)}${']'.repeat(100_000)}`),
      'stack overflow',
    ],
    [
      'is a string of 10 MiB',
      javascript('return { body: event }'),
      input(JSON.stringify('x'.repeat(10 << 20))),
      '',
    ],
    [
      'is a template that strips what backtracks',
      {
        kind: 'declarative',
        spec: { headers: { 'x-a': '{{ event.data | strip_html | size }}' } },
      },
      input(JSON.stringify({ data: '<'.repeat(1 << 20) })),
      '',
    ],
  ])('ends what %s, and goes on', async (_, program, given, detail) => {
    const result = await run(program, 'hostile', given);
    expect(result).toMatchObject({ ok: false, detail: expect.stringContaining(detail) });
    expect(await run(HEALTHY, 'well')).toMatchObject({ ok: true, transformed: { body: '1' } });
  });

  /** How many of ten healthy runs came to their end before all that is hostile had. */
  const healthyBeside = async (hostile: Promise<unknown>[]) => {
    const left: string[] = [];
    const over = Promise.allSettled(hostile).then(() => left.push('hostile'));
    for (let count = 0; count < 10; count += 1) {
      expect(await run(HEALTHY, 'well')).toMatchObject({ ok: true });
      left.push('healthy');
    }
    await over;
    const healthy = left.indexOf('hostile');
    return healthy;
  };

  it('leaves a thread to others, however much hostile code an account has', async () => {
    const job = { kind: 'run', program: UNSTOPPABLE, input: input() } as const;
    const hostile = Array.from({ length: 10 }, (_, index) =>
      sandbox.run(job, { accountId: 'hostile', endpointId: `hostile ${index}` }),
    );
    expect(await healthyBeside(hostile)).toBe(10);
  });

  it('gives one thread to all that had to be ended lately, however many accounts that is', async () => {
    const names = ['one', 'two', 'three'];
    await Promise.all(names.map((name) => run(UNSTOPPABLE, name)));
    const hostile = names.flatMap((name) => [1, 2, 3].map(() => run(UNSTOPPABLE, name)));
    expect(await healthyBeside(hostile)).toBe(10);
  });

  it('refuses what would wait behind too much of its own', async () => {
    const asked = Array.from({ length: 300 }, () => run(HEALTHY, 'many'));
    const results = await Promise.allSettled(asked);
    const refused = results.filter(({ status }) => status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(results.filter(({ status }) => status === 'fulfilled').length).toBeGreaterThanOrEqual(200);
    for (const one of refused) expect(one).toMatchObject({ reason: expect.any(SandboxBusyError) });
  });

  it('runs nothing once it is closed', async () => {
    const closed = new Sandbox();
    await closed.close();
    await expect(
      closed.run({ kind: 'run', program: HEALTHY, input: input() }, owner('well')),
    ).rejects.toThrow(SandboxBusyError);
  });
});
