import type { QuickJSWASMModule } from 'quickjs-emscripten';
import { applySpec, checkSpec, SpecError } from './declarative.js';
import { checkJavaScript, convertByJavaScript, runJavaScript } from './javascript.js';
import { randomFrom, seedOf, withStandingClock } from './standing-clock.js';
import {
  BOUNDS,
  type Program,
  type TransformationInput,
  type Transformed,
  TransformError,
} from './transformation.js';

/**
 * What a thread is asked. `check` runs nothing but what the code does when it is loaded. `convert` gives the program data in
 * the place of an event, and what comes back is data.
 */
export interface Job {
  kind: 'run' | 'check' | 'convert';
  program: Program;
  input: TransformationInput;
}

export type JobResult = { console: string[]; durationMs: number } & (
  | { ok: true; transformed: Transformed }
  | {
      ok: false;
      detail: string;
      /** Into the body that the program came with, where it is known. */
      pointer?: string;
      /** Whether the interpreter can go on. */
      isSound: boolean;
    }
);

/** Runs a program within its bounds, as far as these can be kept from inside its thread. */
export function runJob(quickjs: QuickJSWASMModule, { kind, program, input }: Job): JobResult {
  const startedAt = performance.now();
  const console: string[] = [];
  const print = (line: string) => {
    if (console.length < BOUNDS.consoleLines) console.push(line.slice(0, BOUNDS.consoleLineLength));
  };
  const ended = () => ({ console, durationMs: performance.now() - startedAt });
  try {
    const transformed = WORK[kind](quickjs, program, input, print);
    if (transformed?.body !== undefined && Buffer.byteLength(transformed.body) > input.maxBodyBytes)
      throw new TransformError(`the new body has more than ${input.maxBodyBytes} bytes`);
    return { ok: true, transformed, ...ended() };
  } catch (error) {
    if (error instanceof SpecError)
      return { ok: false, detail: error.message, pointer: error.pointer, isSound: true, ...ended() };
    if (error instanceof TransformError)
      return { ok: false, detail: error.message, isSound: error.isSound, ...ended() };
    return { ok: false, detail: 'the interpreter could not go on', isSound: false, ...ended() };
  }
}

type Work = (
  quickjs: QuickJSWASMModule,
  program: Program,
  input: TransformationInput,
  print: (line: string) => void,
) => Transformed;

const WORK: Record<Job['kind'], Work> = {
  run: (quickjs, program, input, print) =>
    program.kind === 'javascript'
      ? runJavaScript(quickjs, program.code, input, print)
      : apply(program, input),
  convert: (quickjs, program, input, print) =>
    program.kind === 'javascript'
      ? convertByJavaScript(quickjs, program.code, input, print)
      : apply(program, input),
  check,
};

const apply = (
  { spec }: Extract<Program, { kind: 'declarative' }>,
  input: TransformationInput,
): Transformed =>
  withStandingClock({ nowMs: input.nowMs, random: randomFrom(seedOf(input.eventId)) }, () =>
    applySpec(spec, input),
  );

function check(quickjs: QuickJSWASMModule, program: Program, input: TransformationInput): Transformed {
  switch (program.kind) {
    case 'javascript':
      checkJavaScript(quickjs, program.code, input);
      break;
    case 'declarative':
      checkSpec(program.spec);
      break;
  }
  return null;
}
