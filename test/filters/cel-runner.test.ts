import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../../src/common/version.js';
import { CelRunner } from '../../src/filters/cel-runner.js';

/** Threads run what was built. */
const WORKER = join(PROJECT_ROOT, 'dist', 'src', 'filters', 'cel-worker.js');

/** Stands still for longer than all expressions of an event may take, once they have been evaluated. */
const FROZEN = new URL(
  `data:text/javascript,${encodeURIComponent(`
    import { parentPort } from 'node:worker_threads';
    parentPort.on('message', ({ sources, progress }) => {
      new Float64Array(progress, 0, 1)[0] = performance.timeOrigin + performance.now();
      new Int32Array(progress, 16).fill(1);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_100);
      parentPort.postMessage({ errors: {} });
    });`)}`,
);

const eventOf = (data: unknown) => JSON.stringify({ type: 'a', data, tags: ['t'], priority: null });
/** Over a list of thousands it looks at each element for each of them. */
const ENDLESS = 'event.data.list.all(x, x in event.data.list)';
const LIST = eventOf({ list: Array.from({ length: 50_000 }, (_, index) => index) });

describe('CEL on threads that can be killed', () => {
  let runner: CelRunner;
  beforeEach(() => {
    runner = new CelRunner(WORKER, 2);
  });
  afterEach(() => runner.close());

  const kinds = async (owner: string, event: string, sources: string[]) =>
    (await runner.run(owner, event, sources)).map(({ kind }) => kind);

  it('tells of each expression whether the event meets it', async () => {
    const sources = [
      'event.data.amount > 100',
      'event.data.amount > 200',
      'event.type == "a" && "t" in event.tags && event.priority == null',
      'event.data.absent > 1',
      'event.data.list[7] > 1',
    ];
    const event = eventOf({ amount: 150, list: [1] });
    expect(await kinds('a', event, sources)).toEqual(['met', 'unmet', 'met', 'unmet', 'unmet']);
  });

  it('tells what went wrong with one, and goes on with the others', async () => {
    const results = await runner.run('a', eventOf({ amount: 'x', list: [] }), [
      'event.data.amount > 1',
      '1 / 0 > 1',
      'event.data.list',
      'event.type == "a"',
    ]);
    expect(results).toEqual([
      { kind: 'error', error: 'no such overload: dyn<string> > int' },
      { kind: 'error', error: 'division by zero' },
      { kind: 'error', error: 'the expression is neither true nor false' },
      { kind: 'met' },
    ]);
  });

  it('ends an endless one by killing its thread, and answers the others before and after it', async () => {
    const sources = ['event.type == "a"', ENDLESS, 'event.type == "b"', 'event.tags == ["t"]'];
    const results = await runner.run('a', LIST, sources);
    expect(results).toEqual([
      { kind: 'met' },
      { kind: 'error', error: expect.stringContaining('takes longer than 5 ms') },
      { kind: 'unmet' },
      { kind: 'met' },
    ]);
    expect(runner.killed).toBe(2);
  });

  it('leaves one that was killed alone for a while, for that owner', async () => {
    expect(await kinds('a', LIST, [ENDLESS])).toEqual(['error']);
    const { killed } = runner;
    expect(await kinds('a', LIST, [ENDLESS, 'true', ENDLESS])).toEqual(['error', 'met', 'error']);
    expect(runner.killed).toBe(killed);
    expect(await kinds('b', eventOf({ list: [1] }), [ENDLESS])).toEqual(['met']);
  });

  it('gives an owner one thread at a time, so that another has its results meanwhile', async () => {
    const order: string[] = [];
    const sources = Array.from({ length: 10 }, (_, index) => `${ENDLESS} && ${index} == ${index}`);
    const hostile = Promise.all(Array.from({ length: 3 }, () => runner.run('hostile', LIST, sources))).then(
      () => order.push('hostile'),
    );
    const other = kinds('other', eventOf({}), ['event.type == "a"']).then((result) => {
      order.push('other');
      return result;
    });
    expect(await other).toEqual(['met']);
    await hostile;
    expect(order).toEqual(['other', 'hostile']);
  });

  it('ends one that fills the memory, and answers the others', async () => {
    const large = Array.from({ length: 100 }, () => 'event.data.list').join(' + ');
    expect(await kinds('a', LIST, ['true', `(${large}).size() > 1`, 'true'])).toEqual([
      'met',
      'error',
      'met',
    ]);
  });

  it('reads events of any depth and size, and members that are named as what objects have', async () => {
    const deep = `{"type":"a","data":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)},"tags":[],"priority":null}`;
    expect(await kinds('a', deep, ['event.type == "a"', 'has(event.data.a.a)'])).toEqual(['met', 'met']);
    const long = eventOf({ text: 'x'.repeat(10 * 1024 * 1024) });
    expect(await kinds('a', long, ['event.data.text.startsWith("x")'])).toEqual(['met']);
    const named = `{"type":"a","data":{"constructor":1,"__proto__":{"admin":true}},"tags":[],"priority":null}`;
    expect(
      await kinds('a', named, [
        'event.data.constructor == 1',
        'has(event.data.admin)',
        'event.data.__proto__.admin',
        'has(event.data.toString)',
      ]),
    ).toEqual(['met', 'unmet', 'met', 'unmet']);
  });

  it('charges nobody for what its threads were kept from, but for what they were allowed', async () => {
    await runner.close();
    runner = new CelRunner(FROZEN, 1);
    const sources = Array.from({ length: 51 }, () => 'true');
    expect(await kinds('a', eventOf({}), sources)).toEqual(sources.map(() => 'met'));
  });

  it('takes nothing more once it is closed', async () => {
    await runner.close();
    await expect(runner.run('a', eventOf({}), ['true'])).rejects.toThrow('closed');
  });
});
