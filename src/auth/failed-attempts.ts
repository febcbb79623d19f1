/** An address that failed at a prefix stays slowed there for as long after its latest failure. */
const REMEMBERED_MS = 60_000;
const MINUTE_MS = 60_000;

export interface Attempt {
  /** Where it comes from: see `sourceOf`. */
  source: string;
  /** The kind and first letters of the credential, where it is one of those that are looked up; otherwise null. */
  prefix: string | null;
  /** Tells the credential from all others. */
  fingerprint: string;
}

export interface Limits {
  /** Failures a minute, and at once, from one source. */
  perSource: number;
  /** Failures a minute, and at once, at one prefix from all sources together. */
  perPrefix: number;
  /** How many sources, prefixes and credentials are remembered; the longest unused is forgotten first. */
  remembered: number;
}

/**
 * Slows whoever guesses at credentials, and nobody else:
 *
 * - Failures fill a bucket of their source that drains evenly. While it is full nothing from there is tried.
 * - Failures at a prefix fill a bucket too, whatever their source. While it is full that prefix is not tried again
 *   from a source that failed at it within the last minute. A source that did not is let through: nobody is locked out
 *   of a key by guesses that others make at it.
 * - A credential that was good from a source is tried from there in any case, so that others behind the same address
 *   cannot lock it out, and neither can its holder by sending a second one that is wrong.
 * - What is refused unseen is not counted. A success takes no failure back.
 *
 * Times are milliseconds of a clock that never goes back.
 */
export class FailedAttempts {
  private readonly sources: Recent<Bucket>;
  private readonly prefixes: Recent<Bucket>;
  /** When a source failed last at a prefix. */
  private readonly marks: Recent<number>;
  private readonly good: Recent<true>;

  constructor(private readonly limits: Limits) {
    this.sources = new Recent(limits.remembered);
    this.prefixes = new Recent(limits.remembered);
    this.marks = new Recent(limits.remembered);
    this.good = new Recent(limits.remembered);
  }

  /** @returns how long to wait before this may be tried; 0: now */
  waitMs({ source, prefix, fingerprint }: Attempt, nowMs: number): number {
    const { perSource, perPrefix } = this.limits;
    const ofSource = untilOneFits(this.sources.get(source), perSource, nowMs);
    const failedAtMs = prefix === null ? undefined : this.marks.get(pair(source, prefix));
    const marked = failedAtMs === undefined ? 0 : Math.max(0, failedAtMs + REMEMBERED_MS - nowMs);
    const ofPrefix =
      prefix === null || marked === 0
        ? 0
        : Math.min(marked, untilOneFits(this.prefixes.get(prefix), perPrefix, nowMs));
    const wait = Math.max(ofSource, ofPrefix);
    return wait > 0 && this.good.use(pair(source, fingerprint)) ? 0 : wait;
  }

  failed({ source, prefix, fingerprint }: Attempt, nowMs: number): void {
    this.good.delete(pair(source, fingerprint));
    fill(this.sources, source, this.limits.perSource, nowMs);
    if (prefix === null) return;
    fill(this.prefixes, prefix, this.limits.perPrefix, nowMs);
    this.marks.set(pair(source, prefix), nowMs);
  }

  succeeded({ source, fingerprint }: Attempt): void {
    this.good.set(pair(source, fingerprint), true);
  }

  /** Entries held at the moment, for the bound on memory. */
  get size(): number {
    return this.sources.size + this.prefixes.size + this.marks.size + this.good.size;
  }
}

/** Failures at a moment; they drain evenly from then on. */
interface Bucket {
  failures: number;
  atMs: number;
}

const pair = (one: string, other: string): string => `${one} ${other}`;

const levelOf = (bucket: Bucket | undefined, perMinute: number, nowMs: number): number =>
  bucket ? Math.max(0, bucket.failures - ((nowMs - bucket.atMs) * perMinute) / MINUTE_MS) : 0;

function untilOneFits(bucket: Bucket | undefined, perMinute: number, nowMs: number): number {
  const excess = levelOf(bucket, perMinute, nowMs) + 1 - perMinute;
  return Math.max(0, (excess * MINUTE_MS) / perMinute);
}

function fill(buckets: Recent<Bucket>, name: string, perMinute: number, nowMs: number): void {
  const level = levelOf(buckets.get(name), perMinute, nowMs);
  buckets.set(name, { failures: Math.min(perMinute, level + 1), atMs: nowMs });
}

/** A map that forgets what was longest not set or used. */
class Recent<Value> {
  private readonly map = new Map<string, Value>();

  constructor(private readonly max: number) {}

  get size(): number {
    return this.map.size;
  }

  get(name: string): Value | undefined {
    return this.map.get(name);
  }

  set(name: string, value: Value): void {
    this.map.delete(name);
    this.map.set(name, value);
    if (this.map.size <= this.max) return;
    const oldest = this.map.keys().next();
    if (oldest.done !== true) this.map.delete(oldest.value);
  }

  /** Like {@link get}, and keeps it longer. */
  use(name: string): Value | undefined {
    const value = this.map.get(name);
    if (value !== undefined) this.set(name, value);
    return value;
  }

  delete(name: string): void {
    this.map.delete(name);
  }
}
