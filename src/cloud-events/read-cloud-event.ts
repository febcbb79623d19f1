import { createHash } from 'node:crypto';
import type { FieldError } from '../common/problems.js';
import { EXTENSIONS, splitTags } from './attributes.js';
import { decodeHeaderValue } from './header-values.js';
import { isJson } from './media-types.js';

/** What a CloudEvent says to a publish: candidates, which are still to be held against its schema. */
export interface ReadCloudEvent {
  fields: Record<string, unknown>;
  /** The attribute that a field was read from. */
  attributeOf: (field: string) => string;
}

export type Reading = { ok: true; event: ReadCloudEvent } | { ok: false; errors: FieldError[] };

/** As long as an external id may be. */
const MAX_EXTERNAL_ID = 256;
const MAX_ID = 1024;
const MAX_SOURCE = 2048;

/** Attributes of the specification that say nothing to a publish, or that are read on their own. */
const KNOWN = new Set(['specversion', 'id', 'source', 'type', 'time', 'datacontenttype', 'data']);

/**
 * `source` and `id` together tell an event from all others (CloudEvents 1.0.2 §3.1): so do they here, as `source id`, or
 * where that is too long for an external id, as its SHA-256.
 */
export function externalIdOf(source: string, id: string): string {
  const both = `${source} ${id}`;
  if (both.length <= MAX_EXTERNAL_ID) return both;
  return `sha256:${createHash('sha256').update(both).digest('hex')}`;
}

/**
 * Reads the attributes of a CloudEvent 1.0, whatever brought them. Those that mean nothing here are left out: a bus may
 * add its own.
 *
 * @param attributes by name. Null: as if it were not there (JSON format 1.0.2 §2.2)
 * @param pointerTo an attribute, for errors
 */
export function readCloudEvent(
  attributes: Readonly<Record<string, unknown>>,
  pointerTo: (attribute: string) => string,
): Reading {
  const given = new Map(Object.entries(attributes).filter(([, value]) => value !== null));
  const errors: FieldError[] = [];
  const wrong = (attribute: string, detail: string) =>
    void errors.push({ pointer: pointerTo(attribute), detail });

  if (given.get('specversion') !== '1.0') wrong('specversion', 'must be `1.0`');
  const id = given.get('id');
  if (!isText(id, MAX_ID)) wrong('id', `must be a text of 1 to ${MAX_ID} characters`);
  const source = given.get('source');
  if (!isText(source, MAX_SOURCE) || !/^[^\s\p{Cc}]+$/u.test(source))
    wrong('source', `must be a URI or a reference to one, of ${MAX_SOURCE} characters at most`);
  const type = given.get('datacontenttype');
  if (type !== undefined && (typeof type !== 'string' || !isJson(type)))
    wrong('datacontenttype', 'must be JSON: `application/json`, or a type that ends in `+json`');
  if (given.has('data_base64')) wrong('data_base64', 'is not taken: send JSON as `data`');
  for (const [name, value] of given) {
    if (KNOWN.has(name) || name === 'data_base64') continue;
    if (!/^[a-z0-9]+$/.test(name)) wrong(name, 'an attribute has a name of lower-case letters and digits');
    else if (!['string', 'number', 'boolean'].includes(typeof value))
      wrong(name, 'an attribute is a text, a number or a boolean');
  }
  if (errors.length > 0) return { ok: false, errors };

  /** By the longer name where both are given: it can mean nothing else. */
  const extension = (plain: keyof typeof EXTENSIONS) => {
    const name = given.has(EXTENSIONS[plain]) ? EXTENSIONS[plain] : plain;
    return { name, value: given.get(name) };
  };
  const [version, tags, priority] = [extension('version'), extension('tags'), extension('priority')];
  const names: Record<string, string> = {
    externalId: 'id',
    timestamp: 'time',
    version: version.name,
    tags: tags.name,
    priority: priority.name,
  };
  return {
    ok: true,
    event: {
      fields: {
        type: given.get('type'),
        externalId: externalIdOf(String(source), String(id)),
        ...present('timestamp', given.get('time')),
        ...present('version', version.value, String),
        ...present('tags', tags.value, (text) => splitTags(String(text))),
        ...present('priority', priority.value),
      },
      attributeOf: (field) => names[field] ?? field,
    },
  };
}

/**
 * The attributes that `ce-` headers carry (HTTP binding 1.0.2 §3.1.3). What could be no attribute is somebody else's.
 *
 * @param headers names in lower case
 */
export function attributesOfHeaders(
  headers: Readonly<Record<string, unknown>>,
): { ok: true; attributes: Record<string, string> } | { ok: false; errors: FieldError[] } {
  const attributes: [string, string][] = [];
  const errors: FieldError[] = [];
  for (const [header, value] of Object.entries(headers)) {
    const name = /^ce-([a-z0-9]+)$/.exec(header)?.[1];
    // What the body is says its own header.
    if (name === undefined || name === 'data' || name === 'datacontenttype') continue;
    const decoded = typeof value === 'string' ? decodeHeaderValue(value) : null;
    if (decoded === null) errors.push({ pointer: header, detail: 'is not percent-encoded UTF-8' });
    else attributes.push([name, decoded]);
  }
  return errors.length > 0 ? { ok: false, errors } : { ok: true, attributes: Object.fromEntries(attributes) };
}

const isText = (value: unknown, max: number): value is string =>
  typeof value === 'string' && value.length >= 1 && value.length <= max;

const present = (
  name: string,
  value: unknown,
  read: (value: unknown) => unknown = (same) => same,
): Record<string, unknown> => (value === undefined ? {} : { [name]: read(value) });
