import {
  Lifetime,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSWASMModule,
  Scope,
} from 'quickjs-emscripten';
import { ownThread, spentSince } from '../common/processor-time.js';
import { seedOf, withStandingClock } from './standing-clock.js';
import {
  BOUNDS,
  type Change,
  type TransformationInput,
  type Transformed,
  TransformError,
} from './transformation.js';

const FILE = 'transformation.js';
const thread = ownThread();
/** Of all of them as JSON, which is more than their own rules allow. */
const MAX_HEADERS_TEXT = 200_000;

/**
 * Runs `transform(event, endpoint)` in an interpreter of its own, made for this run and thrown away after it: nothing of
 * one run is left for another. There is no I/O in it, nor a clock, nor chance beside what the event says.
 *
 * What its interrupts do not end (a sort of a billion nothings) must be ended from outside, with the thread.
 *
 * @param print is given lines of the console
 * @throws TransformError for a fault of the code; anything else leaves `quickjs` in no state to be used again
 */
export function runJavaScript(
  quickjs: QuickJSWASMModule,
  code: string,
  input: TransformationInput,
  print: (line: string) => void,
): Transformed {
  return inContext(quickjs, input, (context, own) => {
    const [call, transform] = load(context, own, code, 'transform', print);
    const texts = [input.event, JSON.stringify(input.endpoint)].map((text) => own(context.newString(text)));
    return readChange(context, own(context.callFunction(call, context.undefined, transform, ...texts)));
  });
}

/**
 * Runs `convert(data)`, whose result is the new data.
 *
 * @param input its event is the data alone
 * @throws as {@link runJavaScript} does
 */
export function convertByJavaScript(
  quickjs: QuickJSWASMModule,
  code: string,
  input: TransformationInput,
  print: (line: string) => void,
): Transformed {
  return inContext(quickjs, input, (context, own) => {
    const [call, convert] = load(context, own, code, 'convert', print);
    const data = own(context.newString(input.event));
    const converted = own(context.callFunction(call, context.undefined, convert, data));
    return { body: context.getString(converted) };
  });
}

/** Whether the code can be loaded and has a `transform`. @throws as {@link runJavaScript} does */
export function checkJavaScript(quickjs: QuickJSWASMModule, code: string, input: TransformationInput): void {
  inContext(quickjs, input, (context, own) => {
    load(context, own, code, 'transform', () => undefined);
  });
}

/** Takes a handle into the care of the run, or throws what was thrown in its stead. */
type Own = (made: QuickJSHandle | ReturnType<QuickJSContext['evalCode']>) => QuickJSHandle;

function inContext<Result>(
  quickjs: QuickJSWASMModule,
  { eventId, nowMs }: TransformationInput,
  work: (context: QuickJSContext, own: Own) => Result,
): Result {
  const clock = { nowMs: seedOf(eventId), random: () => 0 };
  let failure: TransformError | undefined;
  const run = () =>
    Scope.withScope((scope) => {
      const runtime = scope.manage(quickjs.newRuntime());
      runtime.setMemoryLimit(BOUNDS.memoryBytes);
      runtime.setMaxStackSize(BOUNDS.stackBytes);
      let hasSpent: ReturnType<typeof spentSince> = () => false;
      let isLate = false;
      runtime.setInterruptHandler(() => (isLate = hasSpent(BOUNDS.runMs)));
      // A new context draws its seed from the clock.
      const context = scope.manage(runtime.newContext());
      clock.nowMs = nowMs;
      hasSpent = spentSince(thread);
      return work(context, (made) => {
        if (made instanceof Lifetime) return scope.manage(made);
        if (!made.error) return scope.manage(made.value);
        // Reading what was thrown runs its code, too.
        const thrown: unknown = context.dump(scope.manage(made.error));
        throw (failure = new TransformError(
          isLate ? `ran longer than ${BOUNDS.runMs} ms` : describe(thrown),
        ));
      });
    });
  try {
    return withStandingClock(clock, run);
  } catch (error) {
    // What is left behind by an overflow in the midst of its own work it cannot even put away.
    if (failure && error !== failure) throw new TransformError(failure.message, false);
    throw error;
  }
}

/** The function that the code is to have. */
type Entry = 'transform' | 'convert';

/** @returns what calls the function, out of the code's reach, and the function. @throws TransformError where there is none */
function load(
  context: QuickJSContext,
  own: Own,
  code: string,
  entry: Entry,
  print: (line: string) => void,
): [call: QuickJSHandle, found: QuickJSHandle] {
  const prelude = own(context.evalCode(PRELUDE, 'prelude.js'));
  const printer = own(context.newFunction('print', (line) => print(context.getString(line))));
  const calls = own(context.callFunction(prelude, context.undefined, printer));
  const call = own(context.getProp(calls, entry));
  own(context.evalCode(code, FILE, { type: 'global', strict: true }));
  const found = own(context.evalCode(`typeof ${entry} === 'function' ? ${entry} : undefined`, 'prelude.js'));
  if (context.typeof(found) !== 'function') throw new TransformError(`the code has no function \`${entry}\``);
  return [call, found];
}

function readChange(context: QuickJSContext, result: QuickJSHandle): Change | null {
  const read = (name: string): string | undefined =>
    context
      .getProp(result, name)
      .consume((part) => (context.typeof(part) === 'string' ? context.getString(part) : undefined));
  const [kind, body, headers, path] = ['kind', 'body', 'headers', 'path'].map(read);
  if (kind === 'dropped') return null;
  if ((headers ?? '').length > MAX_HEADERS_TEXT) throw new TransformError('the headers are too long');
  return {
    ...(body === undefined ? {} : { body }),
    ...(headers === undefined ? {} : { headers: JSON.parse(headers) as unknown }),
    ...(path === undefined ? {} : { path: JSON.parse(path) as unknown }),
  };
}

/** What was thrown may be anything. */
function describe(thrown: unknown): string {
  if (typeof thrown === 'string') return thrown;
  const { name, message, stack } =
    typeof thrown === 'object' && thrown !== null ? (thrown as Record<string, unknown>) : {};
  if (typeof name !== 'string' || typeof message !== 'string') return 'something was thrown that is no error';
  if (name === 'InternalError' && message === 'out of memory')
    return `needed more than ${BOUNDS.memoryBytes / 1_048_576} MiB of memory`;
  const line = typeof stack === 'string' ? /transformation\.js:(\d+)/.exec(stack)?.[1] : undefined;
  return `${name}: ${message}${line === undefined ? '' : ` (line ${line})`}`;
}

/**
 * Before the code of the owner, and out of its reach: what it changes of the globals does not change this. It answers with
 * the functions that call `transform` and `convert` and make texts of what comes back.
 */
const PRELUDE = `(print) => {
  'use strict';
  const { parse, stringify } = JSON;
  const { ownKeys } = Reflect;
  const { isArray } = Array;
  const { String, Error, TypeError } = globalThis;
  const bound = (text) => text.slice(0, ${BOUNDS.consoleLineLength});
  const show = (value) => {
    if (typeof value === 'string') return value;
    if (value instanceof Error) return value.name + ': ' + value.message;
    try { return stringify(value) ?? String(value); } catch { return typeof value; }
  };
  const log = (...values) => print(bound(values.map(show).join(' ')));
  globalThis.console = { log, info: log, warn: log, error: log, debug: log };
  const transform = (transform, event, endpoint) => {
    const result = transform(parse(event), parse(endpoint));
    if (result === null) return { __proto__: null, kind: 'dropped' };
    if (typeof result !== 'object' || isArray(result))
      throw new TypeError('transform returned ' + (isArray(result) ? 'an array' : typeof result) + '; it must return an object, or null to drop the event');
    if (typeof result.then === 'function') throw new TypeError('transform must not be async: nothing is waited for');
    const texts = { __proto__: null, kind: 'changed' };
    for (const key of ownKeys(result)) {
      if (key !== 'body' && key !== 'headers' && key !== 'path')
        throw new TypeError('transform returned ' + bound(String(key)) + '; there is only body, headers and path');
      if (result[key] === undefined) continue;
      texts[key] = stringify(result[key]);
      if (typeof texts[key] !== 'string') throw new TypeError(key + ' is nothing that JSON has');
    }
    return texts;
  };
  const convert = (convert, data) => {
    const result = convert(parse(data));
    if (typeof result === 'object' && result !== null && typeof result.then === 'function')
      throw new TypeError('convert must not be async: nothing is waited for');
    const text = stringify(result);
    if (typeof text !== 'string') throw new TypeError('convert returned ' + typeof result + '; it must return the new data');
    return text;
  };
  return { __proto__: null, transform, convert };
}`;
