import { Liquid, Output, Tag, type Template } from 'liquidjs';
import { parseUrl } from '../common/parse-url.js';
import { MAX_TEMPLATE, TEMPLATE_BOUNDS } from '../transformations/templates.js';

const MAX_OUTPUTS = 20;
const MAX_URL = 2_048;

/**
 * Filters whose time grows with the length of what they are given and no faster: templates of lookups are rendered where
 * deliveries are made, and what is in an event is its publisher's.
 */
const FILTERS = new Set(
  `abs append at_least at_most capitalize ceil default divided_by downcase first floor join last minus modulo plus
   prepend remove replace round size slice split times truncate upcase`.split(/\s+/),
);

const engine = new Liquid({ templates: {}, ...TEMPLATE_BOUNDS });
for (const name of Object.keys(engine.filters))
  if (!FILTERS.has(name)) Reflect.deleteProperty(engine.filters, name);

/** What a template sees. */
export interface UrlScope {
  event: {
    /** `evt_…` */
    id: string;
    type: string;
    version: string;
    /** RFC 3339 */
    timestamp: string;
    data: unknown;
    tags: readonly string[];
  };
  /** `acc_…` */
  account: { id: string };
  /** `ep_…` */
  endpoint: { id: string };
}

export interface UrlTemplate {
  parts: readonly Part[];
  /** What every URL that comes out of it has in common. */
  shape: Shape;
}

/** What the operator wrote, or what stands for something of the event. */
type Part = { literal: string } | Slot;

interface Slot {
  output: Template;
  text: string;
}

interface Shape {
  origin: string;
  segments: number;
  /** Names in the query, in their order. */
  parameters: string;
}

/** A template that cannot be used, or that makes no URL of this event. Told to people: it repeats nothing of the event. */
export class UrlTemplateError extends Error {
  override readonly name = 'UrlTemplateError';
}

/**
 * Reads the URL of a lookup: `https://host/path/{{ event.data.id }}?key={{ event.type }}`. Scheme and host are the operator's
 * own words.
 *
 * @throws UrlTemplateError
 */
export function parseUrlTemplate(text: string): UrlTemplate {
  if (text.length > MAX_TEMPLATE) throw new UrlTemplateError(`must have ${MAX_TEMPLATE} characters at most`);
  if (!/^https?:\/\/[^/?#{}]+([/?]|$)/i.test(text))
    throw new UrlTemplateError('must begin with `https://`, a host and `/`, without templates in them');
  const parts = partsOf(text);
  if (parts.filter((part) => 'output' in part).length > MAX_OUTPUTS)
    throw new UrlTemplateError(`must have ${MAX_OUTPUTS} templates at most`);
  const shape = shapeOf(fill(parts, () => 'x'));
  if (!shape) throw new UrlTemplateError('must be a URL once its templates are filled in');
  if (!isSame(shape, shapeOf(fill(parts, () => 'y'))))
    throw new UrlTemplateError('must have templates in the path and in values of the query alone');
  return { parts, shape };
}

/** What is asked for where `x` stands for all that is filled in: good to see whether requests may go there. */
export const exampleOf = ({ parts }: UrlTemplate): string => fill(parts, () => 'x');

/**
 * Fills in what an event has. Each value is percent-encoded as a whole, so that it stays within its place: no event changes
 * the origin, adds a segment or a parameter, or leaves one out.
 *
 * @throws UrlTemplateError
 */
export function renderUrl({ parts, shape }: UrlTemplate, scope: UrlScope): string {
  const url = fill(parts, (slot) => valueOf(slot, scope));
  if (url.length > MAX_URL) throw new UrlTemplateError(`the URL would be longer than ${MAX_URL} characters`);
  // Segments of dots alone lead elsewhere, however they are spelt (WHATWG URL §4.4), and cannot be encoded away.
  if (!isSame(shape, shapeOf(url)))
    throw new UrlTemplateError('the event has a value that would lead to another path');
  return url;
}

function partsOf(text: string): Part[] {
  let templates: Template[];
  try {
    templates = engine.parse(text);
  } catch (error) {
    throw new UrlTemplateError(error instanceof Error ? error.message : 'is no template');
  }
  return templates.map((template): Part => {
    if (template instanceof Output) return { output: template, text: template.token.getText() };
    if (template instanceof Tag)
      throw new UrlTemplateError('must not have tags: `{{ … }}` alone is filled in');
    return { literal: template.token.getText() };
  });
}

const fill = (parts: readonly Part[], value: (slot: Slot) => string): string =>
  parts.map((part) => ('literal' in part ? part.literal : value(part))).join('');

function valueOf({ output, text }: Slot, scope: UrlScope): string {
  let value: string;
  try {
    value = String(engine.renderSync([output], scope));
  } catch {
    throw new UrlTemplateError(`${text} cannot be filled in`);
  }
  // Without it another resource would be asked for: all customers in place of one.
  if (value === '') throw new UrlTemplateError(`${text} is empty`);
  return encodeURIComponent(value.toWellFormed());
}

const isSame = (one: Shape, other: Shape | null): boolean =>
  one.origin === other?.origin && one.segments === other.segments && one.parameters === other.parameters;

function shapeOf(text: string): Shape | null {
  const url = parseUrl(text);
  if (!url) return null;
  return {
    origin: url.origin,
    segments: url.pathname.split('/').length,
    parameters: JSON.stringify([...url.searchParams.keys()]),
  };
}
