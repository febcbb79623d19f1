import type { Spec } from './declarative.js';

export const TRANSFORMATION_KINDS = ['declarative', 'javascript'] as const;
export type TransformationKind = (typeof TRANSFORMATION_KINDS)[number];

export type Program = { kind: 'declarative'; spec: Spec } | { kind: 'javascript'; code: string };

/** The bounds of one run. Documented in docs/guides/transformations.md. */
export const BOUNDS = {
  runMs: 100,
  memoryBytes: 8 * 1024 * 1024,
  stackBytes: 256 * 1024,
  consoleLines: 100,
  consoleLineLength: 1_000,
} as const;

/** What a transformation is given. Everything that it can see comes from here: the same input has the same result. */
export interface TransformationInput {
  /** JSON text of the event, as it would be sent. */
  event: string;
  /** `evt_…`, which chance is drawn from. */
  eventId: string;
  /** The event's timestamp, unix milliseconds: the only moment there is. */
  nowMs: number;
  endpoint: { id: string; url: string };
  /** Bytes of the new body at most. */
  maxBodyBytes: number;
}

/** What a transformation asks for, before anybody has looked at it. What is absent stays as it is. */
export interface Change {
  /** JSON text. */
  body?: string;
  headers?: unknown;
  path?: unknown;
}

/** Null drops the event for this endpoint. */
export type Transformed = Change | null;

/** A transformation that cannot be carried out, told to its owner. */
export class TransformError extends Error {
  /** @param isSound whether the interpreter that it came from can go on */
  constructor(
    message: string,
    readonly isSound = true,
  ) {
    super(readable(message));
    this.name = 'TransformError';
  }
}

const MAX_MESSAGE = 500;

const readable = (text: string): string =>
  text
    .slice(0, MAX_MESSAGE)
    .replace(/[\u0000-\u001f\u007f]+/g, ' ')
    .toWellFormed();
