import { Liquid, type Template } from 'liquidjs';
import { TransformError } from './transformation.js';

export const MAX_TEMPLATE = 4_096;
const MAX_OUTPUT = 8_192;

/** Of every template, wherever it is used. */
export const TEMPLATE_BOUNDS = {
  strictFilters: true,
  ownPropertyOnly: true,
  parseLimit: MAX_TEMPLATE,
  renderLimit: 50,
  memoryLimit: 1_000_000,
  // What depends on where a process runs would differ from attempt to attempt.
  timezoneOffset: 0,
  locale: 'en-US',
} as const;

/**
 * Templates see what they are given and nothing else: no files, no filters that do not exist, no prototypes. All of a
 * render's bounds are the engine's own; what it does not notice is ended from outside with the thread it runs on.
 */
const engine = new Liquid({ templates: {}, ...TEMPLATE_BOUNDS });

/** @throws TransformError */
export function parseTemplate(text: string): Template[] {
  try {
    return engine.parse(text);
  } catch (error) {
    throw failed(error);
  }
}

/** @throws TransformError */
export function render(text: string, scope: object): string {
  const template = parseTemplate(text);
  let output: string;
  try {
    output = String(engine.renderSync(template, scope));
  } catch (error) {
    throw failed(error);
  }
  if (output.length > MAX_OUTPUT)
    throw new TransformError(`a template came out longer than ${MAX_OUTPUT} characters`);
  return output;
}

const failed = (error: unknown): TransformError =>
  new TransformError(error instanceof Error ? error.message : 'a template failed');
