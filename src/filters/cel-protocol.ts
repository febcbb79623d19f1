/** Between the thread that runs CEL and the one that watches it. */
export interface CelRequest {
  /** An event as JSON. */
  event: string;
  sources: string[];
  progress: SharedArrayBuffer;
}

export interface CelReply {
  /** By the place in the sources, what went wrong. */
  errors: Record<number, string>;
}

/** `error`: in words, for whoever wrote the expression. */
export type CelResult = { kind: 'met' } | { kind: 'unmet' } | { kind: 'error'; error: string };

/** To the process that has the threads. */
export interface CelJob {
  id: number;
  owner: string;
  event: string;
  sources: readonly string[];
}

/** From that process: that it has begun, what came of a job, or why nothing did. */
export type CelMessage = 'ready' | { id: number; results: CelResult[] } | { id: number; failure: string };

export const RUNNING = 0;
export const MET = 1;
export const UNMET = 2;
export const FAILED = 3;

/** How far a request has got, seen from both threads while it runs. */
export class CelProgress {
  readonly buffer: SharedArrayBuffer;
  /** When the request was received, and when the current expression was begun. */
  private readonly times: Float64Array;
  private readonly states: Int32Array;

  constructor(of: number | SharedArrayBuffer) {
    this.buffer = typeof of === 'number' ? new SharedArrayBuffer(16 + 4 * of) : of;
    this.times = new Float64Array(this.buffer, 0, 2);
    this.states = new Int32Array(this.buffer, 16);
  }

  receive(nowMs: number): void {
    this.times[0] = nowMs;
  }

  begin(nowMs: number): void {
    this.times[1] = nowMs;
  }

  end(index: number, state: number): void {
    Atomics.store(this.states, index, state);
  }

  state(index: number): number {
    return Atomics.load(this.states, index);
  }

  /** The first that has not ended. */
  get current(): number {
    const index = this.states.indexOf(RUNNING);
    return index < 0 ? this.states.length : index;
  }

  /** 0 until then. */
  get receivedAtMs(): number {
    return this.times[0] ?? 0;
  }

  /** Of the current one; 0 before the first. */
  get startedAtMs(): number {
    return this.times[1] ?? 0;
  }
}
