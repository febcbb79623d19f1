import vm from 'node:vm';

/** The work was stopped: it took longer than it may. */
export class TimeLimitError extends Error {
  constructor(limitMs: number) {
    super(`took longer than ${limitMs} ms`);
  }
}

const context = vm.createContext(Object.create(null) as object) as { work?: () => void };
const script = new vm.Script('work()');

/**
 * Runs work that does not wait for anything, and stops it wherever it is when its time is over: that of a script, which
 * Node watches from another thread, counts for all that it calls. Setting that up takes a fraction of a millisecond.
 *
 * @throws TimeLimitError and what the work throws. What was stopped may have left things half done.
 */
export function withinTime<Result>(limitMs: number, work: () => Result): Result {
  let result: { value: Result } | undefined;
  const outer = context.work;
  context.work = () => {
    result = { value: work() };
  };
  try {
    script.runInContext(context, { timeout: limitMs });
  } catch (error) {
    if ((error as { code?: unknown } | null)?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT')
      throw new TimeLimitError(limitMs);
    throw error;
  } finally {
    if (outer) context.work = outer;
    else delete context.work;
  }
  if (!result) throw new Error('the work was not done');
  return result.value;
}
