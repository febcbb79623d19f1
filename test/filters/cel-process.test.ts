import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { CelProcess } from '../../src/filters/cel-process.js';

const eventOf = (data: unknown) => JSON.stringify({ type: 'a', data, tags: [], priority: null });
/** Makes a list of more elements than any may have: no thread survives that, nor its process. The API refuses `split`. */
const FATAL = Array.from({ length: 12 }, () => 0)
  .reduce((inner) => `cel.bind(text, text + text, ${inner})`, 'text.split("").size() > 1')
  .replace(/^/, 'cel.bind(text, event.data.text, ')
  .concat(')');
const LARGE = eventOf({ text: 'x'.repeat(100_000) });

describe('CEL in a process of its own', () => {
  let cel: CelProcess;
  beforeEach(() => {
    cel = new CelProcess();
  });
  afterEach(() => cel.close());

  const kinds = async (owner: string, event: string, sources: string[]) =>
    (await cel.run(owner, event, sources)).map(({ kind }) => kind);

  it('is started when there is something to run', async () => {
    expect(cel.pid).toBeUndefined();
    expect(await kinds('a', eventOf(5), ['event.data == 5', 'event.data > 5', '1 / 0 > 1'])).toEqual([
      'met',
      'unmet',
      'error',
    ]);
    expect(cel.pid).toBeGreaterThan(0);
  });

  it('that dies of an expression is started anew, and the expression alone has failed', async () => {
    await kinds('a', eventOf(5), ['true']);
    const { pid } = cel;
    const [hostile, other, mine] = await Promise.all([
      kinds('a', LARGE, ['event.type == "a"', FATAL, 'event.type == "b"']),
      kinds('b', eventOf(5), ['event.data == 5']),
      kinds('a', eventOf(6), ['event.data == 5']),
    ]);
    expect([hostile, other, mine]).toEqual([['met', 'error', 'unmet'], ['met'], ['unmet']]);
    expect(cel.pid).not.toBe(pid);
  });

  it('does not die of the same again at once', async () => {
    await kinds('a', LARGE, [FATAL]);
    await kinds('b', eventOf(5), ['true']);
    const { pid } = cel;
    expect(await kinds('a', LARGE, [FATAL, 'true'])).toEqual(['error', 'met']);
    expect(cel.pid).toBe(pid);
  });

  it('that was killed from outside is started anew, and nothing has failed', async () => {
    await kinds('a', eventOf(5), ['true']);
    const answers = Array.from({ length: 20 }, (_, index) =>
      kinds(`a${index}`, eventOf(5), ['event.data == 5']),
    );
    process.kill(cel.pid ?? 0, 'SIGKILL');
    expect(await Promise.all(answers)).toEqual(answers.map(() => ['met']));
  });

  it('is gone when it is closed, and then nothing can be run', async () => {
    await kinds('a', eventOf(5), ['true']);
    const { pid } = cel;
    await cel.close();
    expect(() => process.kill(pid ?? 0, 0)).toThrow('ESRCH');
    await expect(cel.run('a', eventOf(5), ['true'])).rejects.toThrow('closed');
  });

  it('that cannot be started says so, each time it is asked', async () => {
    const none = new CelProcess('/nowhere/node');
    for (let time = 1; time <= 2; time += 1)
      await expect(none.run('a', eventOf(5), ['true'])).rejects.toThrow('CEL cannot be run');
    await none.close();
  });
});
