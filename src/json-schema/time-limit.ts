import vm from 'node:vm';
import { ownThread, spentSince } from '../common/processor-time.js';

/** The work was stopped: it took longer than it may. */
export class TimeLimitError extends Error {
  constructor(limitMs: number) {
    super(`took longer than ${limitMs} ms`);
  }
}

const THREAD = ownThread();
/** Work that had a processor for less than this part of its time was kept waiting by others. */
const OWN_SHARE = 0.5;

const context = vm.createContext(Object.create(null) as object) as { work?: () => void };
const script = new vm.Script('work()');

/**
 * Runs work that does not wait for anything, and stops it wherever it is when its time is over: that of a script, which
 * Node watches from another thread, counts for all that it calls. Setting that up takes a fraction of a millisecond. On a machine
 * that has too much to do anything may take long: what was kept waiting is begun once more, with twice the time.
 *
 * @throws TimeLimitError and what the work throws. What was stopped may have left things half done.
 */
export function withinTime<Result>(limitMs: number, work: () => Result): Result {
  const hadAtLeast = spentSince(THREAD);
  try {
    return stoppedAfter(limitMs, work);
  } catch (error) {
    if (!(error instanceof TimeLimitError) || hadAtLeast(OWN_SHARE * limitMs)) throw error;
  }
  return stoppedAfter(2 * limitMs, work);
}

function stoppedAfter<Result>(limitMs: number, work: () => Result): Result {
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
