import {
  choiceOf,
  deleteAt,
  type Json,
  omit,
  parsePath,
  pick,
  type Segment,
  setAt,
  valueAt,
} from './json-path.js';
import { parseTemplate, render } from './templates.js';
import { type Change, type TransformationInput, TransformError } from './transformation.js';

/** Carried out from top to bottom. Paths begin at the event: `data.customer.name`. */
export interface Spec {
  pick?: string[] | undefined;
  omit?: string[] | undefined;
  rename?: { from: string; to: string }[] | undefined;
  set?: { path: string; value: unknown }[] | undefined;
  /** Liquid templates, by the header's name. */
  headers?: Record<string, string> | undefined;
  /** A liquid template. */
  path?: string | undefined;
}

/**
 * Parses every template, for what a schema cannot say.
 *
 * @throws SpecError
 */
export function checkSpec(spec: Spec): void {
  for (const [name, template] of Object.entries(spec.headers ?? {}))
    checkTemplate(template, `/spec/headers/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`);
  if (spec.path !== undefined) checkTemplate(spec.path, '/spec/path');
}

/** A spec that can never work. */
export class SpecError extends Error {
  constructor(
    /** Into the body that holds the spec (RFC 6901). */
    readonly pointer: string,
    message: string,
  ) {
    super(message);
    this.name = 'SpecError';
  }
}

function checkTemplate(template: string, pointer: string): void {
  try {
    parseTemplate(template);
  } catch (error) {
    throw new SpecError(pointer, (error as Error).message);
  }
}

/** @throws TransformError */
export function applySpec(spec: Spec, input: TransformationInput): Change {
  const event = JSON.parse(input.event) as Json;
  const scope = { event, endpoint: input.endpoint };
  const headers = Object.entries(spec.headers ?? {}).map(
    ([name, text]) => [name, render(text, scope)] as const,
  );
  return {
    ...(spec.path === undefined ? {} : { path: render(spec.path, scope) }),
    ...(spec.headers === undefined ? {} : { headers: Object.fromEntries(headers) }),
    // Without a step that touches it the body stays as it was published, byte for byte.
    ...(reshapes(spec) ? { body: print(reshape(spec, event)) } : {}),
  };
}

function print(value: Json): string {
  try {
    return JSON.stringify(value);
  } catch {
    throw new TransformError('the event is nested too deeply');
  }
}

const reshapes = ({ pick, omit, rename, set }: Spec): boolean =>
  [pick, omit, rename, set].some((steps) => steps !== undefined);

function reshape(spec: Spec, event: Json): Json {
  let value = event;
  if (spec.pick) value = pick(value, [choiceOf(spec.pick.map(segmentsOf))]) ?? {};
  if (spec.omit) value = omit(value, [choiceOf(spec.omit.map(segmentsOf))]);
  for (const { from, to } of spec.rename ?? []) {
    const moved = valueAt(value, segmentsOf(from));
    if (moved === undefined) continue;
    deleteAt(value, segmentsOf(from));
    put(value, to, moved);
  }
  for (const { path, value: constant } of spec.set ?? []) put(value, path, constant as Json);
  return value;
}

function put(value: Json, path: string, what: Json): void {
  if (!setAt(value, segmentsOf(path), what))
    throw new TransformError(`nothing can be put at ${path}: what it leads through is no object`);
}

function segmentsOf(path: string): Segment[] {
  const segments = parsePath(path);
  if (!segments) throw new TransformError(`${path} is no path`);
  return segments;
}
